package diffusion

import "github.com/longtake/longtake/internal/partition"

// Noise is what a clip begins with, kept as far as its frames differ.
type Noise struct {
	channels int
	grid     partition.Grid // of the clip
	kept     int            // frames of values
	values   []float32      // [channels, kept, H, W]
	source   []int          // of every frame of the clip, the frame of values that it has
}

// WindowNoise draws the noise of a clip of grid g as torch.randn of its latent [C, T, H, W] would.
// With windows, counted in latent frames (0: none), frames beyond the first window repeat those one
// window earlier, a stride at a time, in an order that is drawn: neighbouring windows then begin
// alike, and agree (FreeNoise, Qiu et al. 2024). So no more than one window's noise is kept.
func WindowNoise(gen *Generator, channels int, g partition.Grid, window, overlap int) *Noise {
	n := &Noise{channels: channels, grid: g, kept: g.T, source: make([]int, g.T)}
	for i := range n.source {
		n.source[i] = i
	}
	after := *gen
	after.Stream(channels*g.T*g.H*g.W, nil)
	if window > 0 && window < g.T {
		n.kept = window
		n.permute(&after, window, max(1, window-overlap))
	}
	n.draw(gen)
	*gen = after
	return n
}

// permute draws the source of the frames beyond the first window.
func (n *Noise) permute(gen *Generator, window, stride int) {
	for at := window; at < n.grid.T; at += stride {
		order := gen.Randperm(stride)
		for i := range min(stride, n.grid.T-at) {
			n.source[at+i] = n.source[at-window+int(order[i])]
		}
	}
}

// draw fills values.
func (n *Noise) draw(gen *Generator) {
	plane := n.grid.H * n.grid.W
	n.values = make([]float32, n.channels*n.kept*plane)
	gen.Stream(n.channels*n.grid.T*plane, func(at int, run []float32) {
		for len(run) > 0 {
			frame := at / plane
			here := min(len(run), (frame+1)*plane-at)
			if c, t := frame/n.grid.T, frame%n.grid.T; t < n.kept {
				copy(n.values[(c*n.kept+t)*plane+at%plane:], run[:here])
			}
			at, run = at+here, run[here:]
		}
	})
}

// Tokens returns the noise of some tokens: [own, pt·ph·pw·C].
func (n *Noise) Tokens(own partition.Range) []float32 {
	g, plane := n.grid, n.grid.H*n.grid.W
	out := make([]float32, own.Len()*n.channels*g.PT*g.PH*g.PW)
	walk(n.channels, g, own, func(i, c, t, place int) {
		out[i] = n.values[(c*n.kept+n.source[t])*plane+place]
	})
	return out
}
