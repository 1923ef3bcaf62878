package engine

import (
	"context"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// chunkValues is about how many values of a tensor travel to rank 0 in one message.
const chunkValues = 1 << 16

// tokenTensor is a tensor [tokens, token width] of which each rank has some tokens.
type tokenTensor struct {
	gives  [][]partition.Range                    // by rank: the tokens that it sends
	values func(tokens partition.Range) []float32 // of tokens that this rank sends
}

// chunkSink takes what was gathered: the values of some tokens of the i-th tensor, chunk by chunk;
// flush follows the last values of a chunk.
type chunkSink struct {
	take  func(i int, tokens partition.Range, values []float32) error
	flush func(chunk partition.Range) error
}

// chunks cuts the clip's tokens at whole frames.
func (r *run) chunks() []partition.Range {
	perFrame := r.layout.PerFrame
	size := max(1, chunkValues/(perFrame*r.e.form.TokenWidth())) * perFrame
	var out []partition.Range
	for at := 0; at < r.layout.Tokens(); at += size {
		out = append(out, partition.Range{Lo: at, Hi: min(r.layout.Tokens(), at+size)})
	}
	return out
}

// gather brings tensors together on rank 0, where s takes them a chunk at a time, so that no rank
// holds a tensor as a whole. Other ranks send; s is nil there. After an error of s the rest is
// received and dropped, since the others wait until it is.
func (r *run) gather(ctx context.Context, tr collective.Transport, step int, kind uint32,
	tensors []tokenTensor, s *chunkSink) error {
	// Chunks go one after the other, in the same order on all ranks.
	var failed error
	for i, chunk := range r.chunks() {
		tag := collective.Tag{Step: uint32(step), Op: op(kind, i)} //nolint:gosec // steps are few
		if tr.Rank() != 0 {
			if err := r.sendChunk(ctx, tr, tag, chunk, tensors); err != nil {
				return err
			}
			continue
		}

		err := r.collectChunk(ctx, tr, tag, chunk, tensors,
			func(i int, t partition.Range, v []float32) {
				if failed == nil {
					failed = s.take(i, t, v)
				}
			})
		if err != nil {
			return err
		}
		if failed == nil {
			failed = s.flush(chunk)
		}
	}
	return failed
}

// tokensIn lists a rank's tokens in a chunk, tensor by tensor.
func tokensIn(chunk partition.Range, tensors []tokenTensor, rank int) [][]partition.Range {
	out := make([][]partition.Range, len(tensors))
	for i, s := range tensors {
		for _, t := range s.gives[rank] {
			if c := t.Cut(chunk); c.Len() > 0 {
				out[i] = append(out[i], c)
			}
		}
	}
	return out
}

// sendChunk sends what this rank has of a chunk to rank 0, all tensors in one message; without any
// tokens there is no message.
func (r *run) sendChunk(ctx context.Context, tr collective.Transport, tag collective.Tag,
	chunk partition.Range, tensors []tokenTensor) error {
	var all []float32
	for i, list := range tokensIn(chunk, tensors, tr.Rank()) {
		for _, t := range list {
			all = append(all, tensors[i].values(t)...)
		}
	}
	if len(all) == 0 {
		return nil
	}
	r.bytesGathered.Add(uint64(4 * len(all))) //nolint:gosec // from 0
	return tr.Send(ctx, 0, tag, tensor.Bytes(all))
}

// collectChunk hands what each rank has of a chunk to take, on rank 0.
func (r *run) collectChunk(ctx context.Context, tr collective.Transport, tag collective.Tag,
	chunk partition.Range, tensors []tokenTensor,
	take func(i int, tokens partition.Range, values []float32)) error {
	width := r.e.form.TokenWidth()
	for rank := range tr.Size() {
		list := tokensIn(chunk, tensors, rank)
		theirs, err := r.recvChunk(ctx, tr, tag, rank, list)
		if err != nil {
			return err
		}

		for i, tokens := range list {
			for _, t := range tokens {
				if rank == 0 {
					take(i, t, tensors[i].values(t))
					continue
				}
				take(i, t, theirs[:t.Len()*width])
				theirs = theirs[t.Len()*width:]
			}
		}
	}
	return nil
}

// recvChunk receives what another rank has of a chunk; nil where it has nothing.
func (r *run) recvChunk(ctx context.Context, tr collective.Transport, tag collective.Tag, rank int,
	list [][]partition.Range) ([]float32, error) {
	n := 0
	for _, tokens := range list {
		for _, t := range tokens {
			n += t.Len() * r.e.form.TokenWidth()
		}
	}
	if rank == 0 || n == 0 {
		return nil, nil
	}
	return r.recvFloats(ctx, tr, rank, tag, n)
}
