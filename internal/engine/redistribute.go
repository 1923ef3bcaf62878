package engine

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/partition"
)

// cachesSteps reports whether velocities of the step under way are kept for the next attempt: a
// window is the least that can be taken over, so there must be several in a step. A clip of which
// steps are skipped needs more of a window than its velocity.
func (r *run) cachesSteps() bool {
	return r.skips == nil && r.StepCache != nil && r.Plan.CheckpointEvery > 0 && !r.layout.Extend &&
		len(r.layout.Windows(0)) > 1
}

// cacheVelocity keeps what this rank has computed of a window; it is a diffusion.Denoiser's Learn.
func (r *run) cacheVelocity(step, window int, v []float32) {
	r.StepCache.add(r.Plan.Job, step,
		cachedVelocity{window, r.layout.Own(step, r.Rank, window), v})
}

// reuseVelocities returns, by window, the velocities of a step that an earlier attempt has
// computed, as far as this rank would compute them and the nodes of the ranks still have them. All
// ranks call it together.
func (r *run) reuseVelocities(ctx context.Context, step int) (map[int][]float32, error) {
	if !r.cachesSteps() || r.Plan.Attempt == 1 {
		return nil, nil
	}
	mine := r.StepCache.velocities(r.Plan.Job, step)
	inventory, err := r.exchangeInventory(ctx, step, mine)
	if err != nil {
		return nil, err
	}
	return (&redistribution{r: r, step: step, mine: mine, inventory: inventory}).run(ctx)
}

// pieceBytes is what a piece takes in an inventory: window, first token and end, as uint64.
const pieceBytes = 3 * 8

// exchangeInventory tells all ranks which pieces each has, and returns those lists by rank. All
// ranks call it together.
func (r *run) exchangeInventory(ctx context.Context, step int, mine []cachedVelocity) (
	[][]partition.Piece, error) {
	world, err := r.world()
	if err != nil {
		return nil, err
	}

	var own []byte
	for _, e := range mine {
		for _, v := range []int{e.window, e.tokens.Lo, e.tokens.Hi} {
			own = binary.LittleEndian.AppendUint64(own, uint64(v)) //nolint:gosec // from 0
		}
	}

	tag := collective.Tag{Step: uint32(step), Op: opInventory} //nolint:gosec // steps are few
	lists, err := world.AllGather(ctx, tag, own)
	if err != nil {
		return nil, err
	}

	out := make([][]partition.Piece, len(lists))
	for rank, b := range lists {
		if out[rank], err = r.readInventory(step, b); err != nil {
			return nil, &collective.PeerError{Rank: rank, Err: err}
		}
	}
	return out, nil
}

// readInventory reads one rank's list of pieces, and refuses any that the step does not have.
func (r *run) readInventory(step int, b []byte) ([]partition.Piece, error) {
	windows := r.layout.Windows(step)
	if len(b)%pieceBytes != 0 {
		return nil, fmt.Errorf("sent an inventory of %d bytes", len(b))
	}

	// A peer's numbers index memory later on.
	var out []partition.Piece
	for ; len(b) > 0; b = b[pieceBytes:] {
		w, lo, hi := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]),
			binary.LittleEndian.Uint64(b[16:])
		if w >= uint64(len(windows)) || lo >= hi || hi > uint64(r.layout.Tokens()) {
			return nil, fmt.Errorf("has tokens %d to %d of window %d", lo, hi, w)
		}
		//nolint:gosec // checked above
		out = append(out, partition.Piece{Window: int(w),
			Tokens: partition.Range{Lo: int(lo), Hi: int(hi)}})
	}
	return out, nil
}

// redistribution brings cached velocities from the ranks that have them to those that would compute
// them, which differ where the mesh does. Every rank works out the same from the inventory, so that
// senders and receivers agree without asking.
type redistribution struct {
	r         *run
	step      int
	mine      []cachedVelocity
	inventory [][]partition.Piece // by rank
}

// holding is a run of a window's tokens that a rank has.
type holding struct {
	rank   int
	tokens partition.Range
}

// run returns, by window, the velocities that this rank need not compute.
func (d *redistribution) run(ctx context.Context) (map[int][]float32, error) {
	r, me, width := d.r, d.r.Rank, d.r.e.form.TokenWidth()
	size := r.Transport.Size()

	// What the others need of this rank, and what this rank needs of them, in the same order on both
	// sides.
	out, want := make([][]float32, size), make([]int, size)
	for peer := range size {
		d.eachNeeded(peer, func(w int, _ partition.Range, h holding) {
			if h.rank == me && peer != me {
				out[peer] = append(out[peer], d.values(w, h.tokens)...)
			}
		})
	}
	d.eachNeeded(me, func(_ int, _ partition.Range, h holding) {
		if h.rank != me {
			want[h.rank] += h.tokens.Len() * width
		}
	})

	tag := collective.Tag{Step: uint32(d.step), Op: opStepCache} //nolint:gosec // steps are few
	in, err := r.swapValues(ctx, tag, out, want)
	if err != nil {
		return nil, err
	}

	known := map[int][]float32{}
	d.eachNeeded(me, func(w int, own partition.Range, h holding) {
		if known[w] == nil {
			known[w] = make([]float32, own.Len()*width)
		}
		src := d.values(w, h.tokens)
		if h.rank != me {
			src, in[h.rank] = in[h.rank], in[h.rank][h.tokens.Len()*width:]
		}
		copy(known[w][(h.tokens.Lo-own.Lo)*width:(h.tokens.Hi-own.Lo)*width], src)
	})
	return known, nil
}

// eachNeeded calls f with every run of tokens that a rank would compute and that some rank has. A
// window is taken as a whole or computed as a whole, since its ranks compute it together.
func (d *redistribution) eachNeeded(rank int, f func(window int, own partition.Range, h holding)) {
	l := d.r.layout
	windows, all := l.Run(d.step, rank), l.Windows(d.step)
	for w := windows.Lo; w < windows.Hi; w++ {
		if d.holdings(w, l.TokensOf(all[w])) == nil {
			continue
		}
		own := l.Own(d.step, rank, w)
		for _, h := range d.holdings(w, own) {
			f(w, own, h)
		}
	}
}

// holdings says from which ranks tokens of a window come, in their order; nil if some rank is
// missing.
func (d *redistribution) holdings(window int, tokens partition.Range) []holding {
	var out []holding
	for at := tokens.Lo; at < tokens.Hi; {
		next := d.holder(window, at)
		if next.tokens.Hi <= at {
			return nil
		}
		next.tokens = partition.Range{Lo: at, Hi: min(next.tokens.Hi, tokens.Hi)}
		out, at = append(out, next), next.tokens.Hi
	}
	return out
}

// holder finds the first rank that has a token of a window, with the run of tokens that it has; the
// zero value if there is none.
func (d *redistribution) holder(window, token int) holding {
	for rank, pieces := range d.inventory {
		for _, p := range pieces {
			if p.Window == window && p.Tokens.Lo <= token && token < p.Tokens.Hi {
				return holding{rank, p.Tokens}
			}
		}
	}
	return holding{}
}

// values returns what this rank has of a window's tokens; nil if it has not all of them.
func (d *redistribution) values(window int, tokens partition.Range) []float32 {
	width := d.r.e.form.TokenWidth()
	for _, e := range d.mine {
		if e.window == window && e.tokens.Cut(tokens) == tokens {
			return e.values[(tokens.Lo-e.tokens.Lo)*width : (tokens.Hi-e.tokens.Lo)*width]
		}
	}
	return nil
}
