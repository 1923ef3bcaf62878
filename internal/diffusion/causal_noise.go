package diffusion

import "github.com/longtake/longtake/internal/partition"

// CausalNoise draws the noise of a causal clip as Self-Forcing's pipeline does with torch's CPU
// generator: first that of all blocks at once, [T, C, H, W], then, block by block and step by step,
// what each step but the first adds, [frames of a block, C, H, W].
//
// Blocks are drawn in order, and only one is in memory. Two generators go through the two parts.
// They skip what an earlier attempt has used without computing normal values from it: a minute at
// 480p takes half a second that way.
type CausalNoise struct {
	channels int
	grid     partition.Grid // of a block
	frames   int            // latent frames of the clip
	adds     int            // how many steps of a block add noise
	next     int            // the block that is drawn next

	first Generator // in the noise of all blocks, before value `at`
	at    int
	later Generator // in what steps add, before that of the next block
}

// NewCausalNoise prepares the noise of blocks blocks of grid g; adds is how many steps of each add
// noise. gen is drawn from, and may not be used for anything else.
func NewCausalNoise(gen *Generator, channels int, g partition.Grid, blocks, adds int) *CausalNoise {
	n := &CausalNoise{channels: channels, grid: g, frames: blocks * g.T, adds: adds,
		first: *gen, later: *gen}
	n.later.Stream(n.frames*channels*g.H*g.W, nil)
	return n
}

// values returns how many values a block has.
func (n *CausalNoise) values() int { return n.channels * n.grid.T * n.grid.H * n.grid.W }

// Pass skips the next block.
func (n *CausalNoise) Pass() {
	n.next++
	for range n.adds {
		n.later.Stream(n.values(), nil)
	}
}

// Block draws the noise of the next block at its own tokens, which count from the block's first:
// what it begins with, and what each of its steps adds.
func (n *CausalNoise) Block(own partition.Range) (x []float32, added [][]float32) {
	size := n.values()
	v := make([]float32, size)
	n.at = n.first.slice(n.at, n.frames*n.channels*n.grid.H*n.grid.W, n.next*size, v)
	x = n.take(v, own)
	n.next++

	for range n.adds {
		n.later.Stream(size, func(at int, run []float32) { copy(v[at:], run) })
		added = append(added, n.take(v, own))
	}
	return x, added
}

// take gathers the own tokens of a block [T, C, H, W]: [own, pt·ph·pw·C].
func (n *CausalNoise) take(v []float32, own partition.Range) []float32 {
	g, plane := n.grid, n.grid.H*n.grid.W
	out := make([]float32, own.Len()*n.channels*g.PT*g.PH*g.PW)
	walk(n.channels, g, own, func(i, c, t, place int) {
		out[i] = v[(t*n.channels+c)*plane+place]
	})
	return out
}

// slice draws values lo to lo+len(out) of torch.randn(n), of which those before value at, a whole
// number of runs, are drawn. It leaves the generator before a run, and returns that run's number of
// values.
func (g *Generator) slice(at, n, lo int, out []float32) int {
	hi := lo + len(out)
	keep := func(first int, run []float32) {
		for i, v := range run {
			if k := first + i - lo; k >= 0 && k < len(out) {
				out[k] = v
			}
		}
	}
	if n < fillBlock {
		ahead := *g
		ahead.Stream(n, keep)
		return 0
	}

	for ; at+fillBlock <= min(lo, n-fillBlock); at += fillBlock {
		g.block(at, nil)
	}

	// From here on a copy draws, since the next slice may begin in the run in which this one ends.
	ahead, next := *g, at
	for ; next < hi && next+fillBlock <= n; next += fillBlock {
		ahead.block(next, keep)
	}

	// The last values are drawn again where n is no whole number of runs, as in Stream.
	if n%fillBlock == 0 || hi <= n-fillBlock {
		return at
	}
	for ; next+fillBlock <= n; next += fillBlock {
		ahead.block(next, nil)
	}
	for range n - next {
		ahead.uint32()
	}
	ahead.block(n-fillBlock, keep)
	return at
}
