package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// StepCache is what a node has computed of the step under way: the velocities of windows. If the
// attempt is lost, the next one begins with that step, and takes them, so that only windows of the
// lost node are computed again. It belongs to the node, not to a rank; the zero value is empty.
type StepCache struct {
	mu     sync.Mutex
	job    job.ID
	step   int
	pieces []finding
}

// finding is the velocity of a window's tokens [tokens, width].
type finding struct {
	window int
	tokens partition.Range
	values []float32
}

// learn keeps a velocity, and forgets those of other steps and jobs.
func (s *StepCache) learn(id job.ID, step int, f finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job != id || s.step != step {
		s.job, s.step, s.pieces = id, step, s.pieces[:0]
	}
	n := len(s.pieces)
	for _, p := range s.pieces {
		if p.window == f.window && p.tokens == f.tokens {
			return
		}
	}
	var room []float32 // of an earlier step
	if n < cap(s.pieces) {
		room = s.pieces[:n+1][n].values[:0]
	}
	f.values = append(room, f.values...)
	s.pieces = append(s.pieces, f)
}

// of returns the velocities of a step.
func (s *StepCache) of(id job.ID, step int) []finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job != id || s.step != step {
		return nil
	}
	return slices.Clone(s.pieces)
}

// clear forgets everything.
func (s *StepCache) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.job, s.pieces = "", nil
}

// salvages reports whether windows of a step are kept for the next attempt.
func (r *run) salvages() bool {
	return r.StepCache != nil && r.Plan.CheckpointEvery > 0 && !r.layout.Extend &&
		len(r.layout.Windows(0)) > 1
}

// learn is a Denoiser's.
func (r *run) learn(step, window int, v []float32) {
	r.StepCache.learn(r.Plan.Job, step, finding{window, r.layout.Own(step, r.Rank, window), v})
}

// reuse returns the velocities of windows of a step that the ranks together have from an earlier
// attempt, as far as this rank is to compute them: by window. All ranks call it.
func (r *run) reuse(ctx context.Context, step int) (map[int][]float32, error) {
	if !r.salvages() || r.Plan.Attempt == 1 {
		return nil, nil
	}
	mine := r.StepCache.of(r.Plan.Job, step)
	theirs, err := r.inventory(ctx, step, mine)
	if err != nil {
		return nil, err
	}
	return (&trade{r: r, step: step, mine: mine, have: theirs}).run(ctx)
}

// inventory tells all ranks what each has: by rank.
func (r *run) inventory(ctx context.Context, step int, mine []finding) ([][]partition.Piece,
	error) {
	world, err := r.world()
	if err != nil {
		return nil, err
	}
	var own []byte
	for _, f := range mine {
		for _, v := range []int{f.window, f.tokens.Lo, f.tokens.Hi} {
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
		if out[rank], err = r.pieces(step, b); err != nil {
			return nil, &collective.PeerError{Rank: rank, Err: err}
		}
	}
	return out, nil
}

// pieces reads one rank's part of the inventory.
func (r *run) pieces(step int, b []byte) ([]partition.Piece, error) {
	windows := r.layout.Windows(step)
	if len(b)%24 != 0 {
		return nil, fmt.Errorf("sent an inventory of %d bytes", len(b))
	}
	var out []partition.Piece
	for ; len(b) > 0; b = b[24:] {
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

// trade brings what the ranks have to those that need it. Every rank works out the same from the
// inventory.
type trade struct {
	r    *run
	step int
	mine []finding
	have [][]partition.Piece // by rank
}

// source is a run of a window's tokens that a rank has.
type source struct {
	rank   int
	tokens partition.Range
}

// sources says from which ranks a window's tokens come, nil if not all are there.
func (t *trade) sources(window int, tokens partition.Range) []source {
	var out []source
	for at := tokens.Lo; at < tokens.Hi; {
		next := t.source(window, at)
		if next.tokens.Hi <= at {
			return nil
		}
		next.tokens = partition.Range{Lo: at, Hi: min(next.tokens.Hi, tokens.Hi)}
		out, at = append(out, next), next.tokens.Hi
	}
	return out
}

// source finds who has a token of a window.
func (t *trade) source(window, token int) source {
	for rank, pieces := range t.have {
		for _, p := range pieces {
			if p.Window == window && p.Tokens.Lo <= token && token < p.Tokens.Hi {
				return source{rank, p.Tokens}
			}
		}
	}
	return source{}
}

// needs calls f with every run of tokens that a rank is to compute and that is there already. A
// window is taken as a whole or computed as a whole, since its ranks compute it together.
func (t *trade) needs(rank int, f func(window int, own partition.Range, s source)) {
	l := t.r.layout
	run, windows := l.Run(t.step, rank), l.Windows(t.step)
	for w := run.Lo; w < run.Hi; w++ {
		if t.sources(w, l.TokensOf(windows[w])) == nil {
			continue
		}
		own := l.Own(t.step, rank, w)
		for _, s := range t.sources(w, own) {
			f(w, own, s)
		}
	}
}

// values returns what this rank has of a window's tokens.
func (t *trade) values(window int, tokens partition.Range) []float32 {
	width := t.r.e.dit.TokenWidth()
	for _, f := range t.mine {
		if f.window == window && f.tokens.Cut(tokens) == tokens {
			return f.values[(tokens.Lo-f.tokens.Lo)*width : (tokens.Hi-f.tokens.Lo)*width]
		}
	}
	return nil
}

// run returns the velocities of windows that this rank need not compute.
func (t *trade) run(ctx context.Context) (map[int][]float32, error) {
	r, me, width := t.r, t.r.Rank, t.r.e.dit.TokenWidth()
	size := r.Transport.Size()
	out, want := make([][]float32, size), make([]int, size)
	for peer := range size {
		t.needs(peer, func(w int, _ partition.Range, s source) {
			if s.rank == me && peer != me {
				out[peer] = append(out[peer], t.values(w, s.tokens)...)
			}
		})
	}
	t.needs(me, func(_ int, _ partition.Range, s source) {
		if s.rank != me {
			want[s.rank] += s.tokens.Len() * width
		}
	})
	tag := collective.Tag{Step: uint32(t.step), Op: opSalvage} //nolint:gosec // steps are few
	in, err := r.swap(ctx, tag, out, want)
	if err != nil {
		return nil, err
	}
	known := map[int][]float32{}
	t.needs(me, func(w int, own partition.Range, s source) {
		if known[w] == nil {
			known[w] = make([]float32, own.Len()*width)
		}
		src := t.values(w, s.tokens)
		if s.rank != me {
			src, in[s.rank] = in[s.rank], in[s.rank][s.tokens.Len()*width:]
		}
		copy(known[w][(s.tokens.Lo-own.Lo)*width:(s.tokens.Hi-own.Lo)*width], src)
	})
	return known, nil
}
