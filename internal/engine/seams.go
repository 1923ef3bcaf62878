package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// swapSeams is the diffusion.Swap of windows that are denoised together: it exchanges velocities of
// tokens that ranks of several windows hold.
func (r *run) swapSeams(ctx context.Context, step int, out [][]float32, want []int) ([][]float32,
	error) {
	defer r.meter.waiting()()
	tag := collective.Tag{Step: uint32(step), Op: opSeams} //nolint:gosec // steps are few
	return r.swapValues(ctx, tag, out, want)
}

// swapValues sends out to other ranks, by rank, while it receives from each as many values as want
// says; nothing is exchanged where there is nothing to send or to receive. The first error ends all
// of it.
func (r *run) swapValues(ctx context.Context, tag collective.Tag, out [][]float32, want []int) (
	[][]float32, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	in := make([][]float32, len(want))
	var wg sync.WaitGroup
	each := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				stop(err)
			}
		})
	}

	// At once, since ranks that all send first would wait for each other.
	for peer := range out {
		if len(out[peer]) > 0 {
			each(func() error {
				return r.Transport.Send(ctx, peer, tag, tensor.Bytes(out[peer]))
			})
		}
		if want[peer] > 0 {
			each(func() (err error) {
				in[peer], err = r.recvFloats(ctx, r.Transport, peer, tag, want[peer])
				return err
			})
		}
	}
	wg.Wait()
	return in, context.Cause(ctx)
}

// recvFloats receives n values of another rank; any other number is a *collective.PeerError.
func (r *run) recvFloats(ctx context.Context, tr collective.Transport, peer int,
	tag collective.Tag, n int) ([]float32, error) {
	b, err := tr.Recv(ctx, peer, tag)
	if err != nil {
		return nil, err
	}
	if len(b) != 4*n {
		return nil, r.badMessage(peer, fmt.Sprintf("%d values", n), len(b))
	}
	return tensor.Floats(b), nil
}

// swapWindow sends the values of a finished window, which are in x, to the ranks that hold some of
// its tokens too, and puts what they have of it into x. Where windows are made one after the other,
// this is how the next window's ranks get what it begins with.
func (r *run) swapWindow(ctx context.Context, window int, x []float32) error {
	size := r.Transport.Size()
	out, want := make([][]float32, size), make([]int, size)
	pieces := make([][]partition.Piece, size)
	piecesOf := func(from, to int) (list []partition.Piece) {
		for _, p := range r.layout.Seams(0, from, to) {
			if p.Window == window {
				list = append(list, p)
			}
		}
		return list
	}

	// Ranks of the two branches are paired with those of their own branch alone: each branch's groups
	// hold the same values.
	for peer := range size {
		if !r.layout.Paired(r.Rank, peer) {
			continue
		}
		for _, p := range piecesOf(r.Rank, peer) {
			at := r.windows.Place(p.Tokens)
			out[peer] = append(out[peer], x[at.Lo:at.Hi]...)
		}
		pieces[peer] = piecesOf(peer, r.Rank)
		for _, p := range pieces[peer] {
			want[peer] += p.Tokens.Len() * r.e.form.TokenWidth()
		}
	}

	// No other message of that step and window has this tag.
	in, err := r.swapValues(ctx, r.closingTag(op(opSeams, window)), out, want)
	if err != nil {
		return err
	}
	for peer, list := range pieces {
		for _, p := range list {
			at := r.windows.Place(p.Tokens)
			n := copy(x[at.Lo:at.Hi], in[peer])
			in[peer] = in[peer][n:]
		}
	}
	return nil
}
