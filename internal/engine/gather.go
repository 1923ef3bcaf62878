package engine

import (
	"context"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// chunkValues is about how many values of a tensor travel to rank 0 in one message.
const chunkValues = 1 << 16

// slab is a tensor over tokens, of which each rank has some.
type slab struct {
	ranges [][]partition.Range                    // by rank: the tokens that it gives
	values func(tokens partition.Range) []float32 // the own ones
}

// sink takes what was gathered: values of a slab's tokens, chunk by chunk; flush follows the last
// one of a chunk.
type sink struct {
	take  func(slab int, tokens partition.Range, values []float32) error
	flush func(chunk partition.Range) error
}

// chunks cuts the clip's tokens at whole frames.
func (r *run) chunks() []partition.Range {
	per := max(1, chunkValues/(r.layout.PerFrame*r.e.dit.TokenWidth())) * r.layout.PerFrame
	var out []partition.Range
	for at := 0; at < r.layout.Tokens(); at += per {
		out = append(out, partition.Range{Lo: at, Hi: min(r.layout.Tokens(), at+per)})
	}
	return out
}

// gather brings slabs together on rank 0, where s takes them, a chunk at a time, so that it never
// holds a tensor as a whole. Other ranks send; s is nil there. After an error of s the rest is
// received still, since others wait to send it.
func (r *run) gather(ctx context.Context, tr collective.Transport, step int, kind uint32,
	slabs []slab, s *sink) error {
	var failed error
	for i, chunk := range r.chunks() {
		tag := collective.Tag{Step: uint32(step), Op: op(kind, i)} //nolint:gosec // steps are few
		var err error
		if tr.Rank() != 0 {
			err = r.give(ctx, tr, tag, chunk, slabs)
		} else {
			err = r.takeAll(ctx, tr, tag, chunk, slabs, func(slab int, t partition.Range, v []float32) {
				if failed == nil {
					failed = s.take(slab, t, v)
				}
			})
			if failed == nil && err == nil {
				failed = s.flush(chunk)
			}
		}
		if err != nil {
			return err
		}
	}
	return failed
}

// parts lists a rank's tokens in a chunk, slab by slab.
func parts(slabs []slab, rank int, chunk partition.Range) [][]partition.Range {
	out := make([][]partition.Range, len(slabs))
	for i, s := range slabs {
		for _, t := range s.ranges[rank] {
			if c := t.Cut(chunk); c.Len() > 0 {
				out[i] = append(out[i], c)
			}
		}
	}
	return out
}

// give sends what this rank has of a chunk, in one message, if it has something.
func (r *run) give(ctx context.Context, tr collective.Transport, tag collective.Tag,
	chunk partition.Range, slabs []slab) error {
	var all []float32
	for i, list := range parts(slabs, tr.Rank(), chunk) {
		for _, t := range list {
			all = append(all, slabs[i].values(t)...)
		}
	}
	if len(all) == 0 {
		return nil
	}
	r.gathered.Add(uint64(4 * len(all))) //nolint:gosec // from 0
	return tr.Send(ctx, 0, tag, tensor.Bytes(all))
}

// takeAll hands a chunk of all ranks to take.
func (r *run) takeAll(ctx context.Context, tr collective.Transport, tag collective.Tag,
	chunk partition.Range, slabs []slab,
	take func(slab int, tokens partition.Range, values []float32)) error {
	width := r.e.dit.TokenWidth()
	for rank := range tr.Size() {
		list := parts(slabs, rank, chunk)
		theirs, err := r.chunk(ctx, tr, tag, rank, list)
		if err != nil {
			return err
		}
		for i, tokens := range list {
			for _, t := range tokens {
				if rank == 0 {
					take(i, t, slabs[i].values(t))
					continue
				}
				take(i, t, theirs[:t.Len()*width])
				theirs = theirs[t.Len()*width:]
			}
		}
	}
	return nil
}

// chunk receives what another rank has of a chunk.
func (r *run) chunk(ctx context.Context, tr collective.Transport, tag collective.Tag, rank int,
	list [][]partition.Range) ([]float32, error) {
	n := 0
	for _, tokens := range list {
		for _, t := range tokens {
			n += t.Len() * r.e.dit.TokenWidth()
		}
	}
	if rank == 0 || n == 0 {
		return nil, nil
	}
	return r.floats(ctx, tr, rank, tag, n)
}
