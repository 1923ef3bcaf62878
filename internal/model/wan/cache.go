package wan

import (
	"fmt"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
)

// Reach is what the blocks of a causal clip attend to, counted in blocks of one size: the first
// Sink blocks of the clip and the latest ones, Blocks in all, the block under way included
// (Self-Forcing, Huang et al. 2025; the sink is LongLive's, Yang et al. 2025).
type Reach struct{ Blocks, Sink int }

// check refuses a reach in which the block under way has no place.
func (r Reach) check() error {
	if r.Blocks < 1 || r.Sink < 0 || r.Sink >= r.Blocks {
		return fmt.Errorf("a reach of %d blocks with a sink of %d; allowed: from 1, and a sink below it",
			r.Blocks, r.Sink)
	}
	return nil
}

// slot returns the place of a block in the cache. Sink blocks keep theirs; the others take turns,
// so that a block replaces the one that it no longer reaches, and nothing is ever moved.
func (r Reach) slot(block int) int {
	if block < r.Blocks {
		return block
	}
	return r.Sink + (block-r.Sink)%(r.Blocks-r.Sink)
}

// cache keeps the keys and values that the blocks of a causal clip have left, for a rank's own
// heads and the tokens of all ranks. Which block lies where follows from the block under way alone,
// and so does the order of the sums over keys: it is the same on any number of ranks.
type cache struct {
	reach      Reach
	tokens     int           // of a block, of all ranks
	keys, vals []compute.Mat // per layer [Blocks·tokens, w]; keys are turned by their positions
	block      int           // that is under way
}

// newCache takes the memory for so many layers of width w, as operands.
func newCache(operand func(rows, cols int) compute.Mat, r Reach, layers, tokens, w int) *cache {
	c := &cache{reach: r, tokens: tokens}
	for range layers {
		c.keys = append(c.keys, operand(r.Blocks*tokens, w))
		c.vals = append(c.vals, operand(r.Blocks*tokens, w))
	}
	return c
}

// rows is how many keys the block under way attends to: before the cache is full, those of all
// blocks up to it.
func (c *cache) rows() int { return min(c.block+1, c.reach.Blocks) * c.tokens }

// own views where keys (1) or values (2) of the block under way belong: [tokens, w].
func (c *cache) own(layer, i int) compute.Mat {
	lo := c.reach.slot(c.block) * c.tokens
	return c.of(layer, i).RowRange(lo, lo+c.tokens)
}

// reached views the keys (1) or values (2) that the block under way attends to.
func (c *cache) reached(layer, i int) compute.Mat { return c.of(layer, i).RowRange(0, c.rows()) }

func (c *cache) of(layer, i int) compute.Mat {
	if i == 1 {
		return c.keys[layer]
	}
	return c.vals[layer]
}

// NewCausalSequence is NewSequence for the blocks of a causal clip, each of grid g, that attend to
// what Reach says. Passes are over the block that Begin has named last, and each replaces the keys
// and values that the one before has left of that block: after a pass over the finished block at
// timestep 0, later blocks find what they were trained with.
func (t *Transformer) NewCausalSequence(g partition.Grid, group *collective.Group,
	tokens, heads []partition.Range, r Reach) (*Sequence, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return t.newSequence(g, group, tokens, heads, &r)
}

// CausalBytes is SequenceBytes for a sequence with a cache.
func (t *Transformer) CausalBytes(g partition.Grid, rank int, tokens, heads []partition.Range,
	r Reach) int64 {
	return t.sequenceBytes(g, rank, tokens, heads, &r)
}

// Begin makes block b the one that passes are over. Blocks are begun in their order, each once: the
// cache has those before it. Their positions in time are those of the whole clip.
func (s *Sequence) Begin(b int) {
	s.cache.block = b
	s.uploadPositions(b * s.grid.T / s.grid.PT)
}

// target views where q (0), k (1) or v (2) of the own heads belong, for the tokens of all ranks:
// [N, w]. source views what is attended to, which with a cache is more.
func (s *Sequence) target(layer, i int) compute.Mat {
	if s.cache != nil && i > 0 {
		return s.cache.own(layer, i)
	}
	if len(s.tokens) == 1 {
		return [3]compute.Mat{s.part(0), s.k, s.v}[i]
	}
	return s.all[i]
}

func (s *Sequence) source(layer, i int) compute.Mat {
	if s.cache != nil && i > 0 {
		return s.cache.reached(layer, i)
	}
	return s.target(layer, i)
}
