package diffusion

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/partition"
)

// Windows are a rank's windows of a long clip that are denoised together: each as if it were a clip
// of its own, while the solver steps with the weighted mean of their velocities (MultiDiffusion,
// Bar-Tal et al. 2023, over time). A rank holds the tokens of its windows; where other ranks hold
// some of them too, at a seam, velocities are exchanged. It belongs to the goroutine of its
// Denoiser.
type Windows struct {
	layout partition.Layout // who computes and who holds what
	rank   int              // in layout's mesh
	width  int              // values of a token
	swap   Swap

	held    []partition.Range // tokens of the clip, sorted
	buffers [][]float32       // velocities, by the rank's windows
	last    *seams            // of the latest step
}

// Swap sends values to other ranks and returns theirs. out and the result are indexed by rank, nil
// for those with which nothing is exchanged; want is how many values each rank sends. All ranks
// that exchange call it in the same step.
type Swap func(ctx context.Context, step int, out [][]float32, want []int) ([][]float32, error)

// NewWindows lays out the windows of one rank, whose tokens have width values each. swap is not
// called where no other rank holds tokens of its windows.
func NewWindows(l partition.Layout, rank, width int, swap Swap) *Windows {
	return &Windows{layout: l, rank: rank, width: width, swap: swap, held: l.Held(rank)}
}

// Values returns the number of values of the latent that the rank holds.
func (w *Windows) Values() int {
	n := 0
	for _, h := range w.held {
		n += h.Len()
	}
	return n * w.width
}

// Place returns where tokens of the clip lie among the values that the rank holds. The tokens must
// lie within one held range; anything else is a bug and panics.
func (w *Windows) Place(tokens partition.Range) partition.Range {
	at := 0
	for _, h := range w.held {
		if h.Cut(tokens) == tokens {
			lo := (at + tokens.Lo - h.Lo) * w.width
			return partition.Range{Lo: lo, Hi: lo + tokens.Len()*w.width}
		}
		at += h.Len()
	}
	panic(fmt.Sprintf("diffusion: tokens %v are not held: %v", tokens, w.held))
}

// run returns the windows that the rank's group computes at a step.
func (w *Windows) run(step int) partition.Range { return w.layout.Run(step, w.rank) }

// place returns where the own tokens of a window lie among the held values.
func (w *Windows) place(step, window int) partition.Range {
	return w.Place(w.layout.Own(step, w.rank, window))
}

// buffer returns memory for the n velocity values of the rank's i-th window, reused from step to
// step.
func (w *Windows) buffer(i, n int) []float32 {
	for len(w.buffers) <= i {
		w.buffers = append(w.buffers, nil)
	}
	if len(w.buffers[i]) != n {
		w.buffers[i] = make([]float32, n)
	}
	return w.buffers[i]
}

// seams is what is exchanged and blended for one placement of the windows.
type seams struct {
	windows   []partition.Range   // frames, by window
	out, in   [][]partition.Piece // by rank: runs of tokens sent and received
	want      []int               // by rank: how many values it sends
	fade      [][]float32         // by window: the weights of its frames
	total     []float32           // by frame of the clip: the sum of weights
	exchanges bool                // whether any rank is sent or sends anything
}

// seamsOf returns the seams of a step. Unless they move they are those of the step before, so that
// they are computed once.
func (w *Windows) seamsOf(step int) *seams {
	windows := w.layout.Windows(step)
	if w.last != nil && slices.Equal(w.last.windows, windows) {
		return w.last
	}

	n := w.layout.Mesh.Size()
	s := &seams{windows: windows, out: make([][]partition.Piece, n),
		in: make([][]partition.Piece, n), want: make([]int, n),
		total: make([]float32, w.layout.Frames)}

	// What travels, to and from each rank of the same branch.
	for peer := range n {
		if !w.layout.Paired(w.rank, peer) {
			continue
		}
		s.out[peer] = w.layout.Seams(step, w.rank, peer)
		s.in[peer] = w.layout.Seams(step, peer, w.rank)
		for _, p := range s.in[peer] {
			s.want[peer] += p.Tokens.Len() * w.width
		}
		s.exchanges = s.exchanges || len(s.in[peer])+len(s.out[peer]) > 0
	}

	// What each window weighs, and the sum to divide by.
	for _, frames := range windows {
		f := w.layout.Fade(frames)
		s.fade = append(s.fade, f)
		for i, v := range f {
			s.total[frames.Lo+i] += v
		}
	}

	w.last = s
	return s
}

// piece is a run of velocities of one window, [tokens, width].
type piece struct {
	partition.Piece
	values []float32
}

// blend fills v with the weighted mean of the velocities of all windows at the held tokens; own are
// those that the rank has computed, by its windows. Sums run in the order of the windows, so that
// their bits do not depend on which rank computed what.
func (w *Windows) blend(ctx context.Context, step int, own [][]float32, v []float32) error {
	s, first := w.seamsOf(step), w.run(step).Lo

	// One window with no seams is the whole answer.
	if len(s.windows) == 1 && !s.exchanges {
		copy(v, own[0])
		return nil
	}

	pieces := make([]piece, 0, len(own))
	for i, values := range own {
		p := partition.Piece{Window: first + i, Tokens: w.layout.Own(step, w.rank, first+i)}
		pieces = append(pieces, piece{p, values})
	}

	if s.exchanges {
		theirs, err := w.exchange(ctx, step, s, pieces)
		if err != nil {
			return fmt.Errorf("cannot exchange seams: %w", err)
		}
		pieces = append(pieces, theirs...)
	}

	// The sum's order is the windows', not that of arrival.
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(a.Window, b.Window) })
	clear(v)
	for _, p := range pieces {
		w.add(v, s, p)
	}
	w.divide(v, s)
	return nil
}

// exchange sends each peer the runs of the own pieces that it holds, and returns the runs that come
// back.
func (w *Windows) exchange(ctx context.Context, step int, s *seams, own []piece) ([]piece, error) {
	out := make([][]float32, len(s.out))
	for peer, list := range s.out {
		for _, p := range list {
			src := own[p.Window-own[0].Window]
			lo := (p.Tokens.Lo - src.Tokens.Lo) * w.width
			out[peer] = append(out[peer], src.values[lo:lo+p.Tokens.Len()*w.width]...)
		}
	}

	in, err := w.swap(ctx, step, out, s.want)
	if err != nil {
		return nil, err
	}

	// Each peer's values are the runs of s.in, end to end.
	var pieces []piece
	for peer, list := range s.in {
		at := 0
		for _, p := range list {
			n := p.Tokens.Len() * w.width
			pieces = append(pieces, piece{p, in[peer][at : at+n]})
			at += n
		}
	}
	return pieces, nil
}

// add adds a piece's velocities, weighted by frame, to v.
func (w *Windows) add(v []float32, s *seams, p piece) {
	frames, fade := s.windows[p.Window], s.fade[p.Window]
	at := w.Place(p.Tokens)
	dst := v[at.Lo:at.Hi]
	for i := range p.Tokens.Len() {
		weight := fade[(p.Tokens.Lo+i)/w.layout.PerFrame-frames.Lo]
		row, src := dst[i*w.width:(i+1)*w.width], p.values[i*w.width:(i+1)*w.width]
		for k := range row {
			row[k] += float32(weight * src[k])
		}
	}
}

// divide turns the weighted sums in v into means.
func (w *Windows) divide(v []float32, s *seams) {
	at := 0
	for _, h := range w.held {
		for token := h.Lo; token < h.Hi; token++ {
			total, row := s.total[token/w.layout.PerFrame], v[at:at+w.width]
			for k := range row {
				row[k] /= total
			}
			at += w.width
		}
	}
}
