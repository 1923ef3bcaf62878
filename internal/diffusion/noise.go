package diffusion

import "github.com/longtake/longtake/internal/partition"

// Noise is the latent that a clip begins with. It keeps the frames that differ, and which of them
// each frame of the clip has.
type Noise struct {
	channels int
	grid     partition.Grid // of the whole clip
	kept     int            // the number of frames in values
	values   []float32      // [channels, kept, H, W]
	source   []int          // [frames of the clip], each an index into the kept frames
}

// WindowNoise draws the noise of a clip of grid g as torch.randn of its latent [C, T, H, W] would.
// With windows, counted in latent frames (0: none), the frames beyond the first window repeat those
// one window earlier, a stride at a time, in a drawn order (FreeNoise, Qiu et al. 2024).
// Neighbouring windows then begin alike and agree, and memory for one window's noise is enough.
//
// gen is left where drawing the whole clip and the orders would leave it.
func WindowNoise(gen *Generator, channels int, g partition.Grid, window, overlap int) *Noise {
	n := &Noise{channels: channels, grid: g, kept: g.T, source: make([]int, g.T)}
	for i := range n.source {
		n.source[i] = i
	}

	// The orders come after the whole noise in the generator, but are needed before it is drawn: a
	// copy runs ahead.
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

// draw fills values with the kept frames of the stream [C, T, H, W]. Runs of the generator do not
// end where frames do, and are cut here.
func (n *Noise) draw(gen *Generator) {
	plane := n.grid.H * n.grid.W
	n.values = make([]float32, n.channels*n.kept*plane)
	gen.Stream(n.channels*n.grid.T*plane, func(at int, run []float32) {
		for len(run) > 0 {
			frame := at / plane
			here := min(len(run), (frame+1)*plane-at)

			// Frames beyond the kept ones are drawn only to advance the generator.
			if c, t := frame/n.grid.T, frame%n.grid.T; t < n.kept {
				copy(n.values[(c*n.kept+t)*plane+at%plane:], run[:here])
			}
			at, run = at+here, run[here:]
		}
	})
}

// Tokens returns the noise of a range of tokens: [own, pt·ph·pw·C].
func (n *Noise) Tokens(own partition.Range) []float32 {
	g, plane := n.grid, n.grid.H*n.grid.W
	out := make([]float32, own.Len()*n.channels*g.PT*g.PH*g.PW)
	walk(n.channels, g, own, func(i, c, t, place int) {
		out[i] = n.values[(c*n.kept+n.source[t])*plane+place]
	})
	return out
}
