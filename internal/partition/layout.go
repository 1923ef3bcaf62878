package partition

import "slices"

// Layout places the windows of a clip on the ranks of a mesh. It tells which tokens a rank computes
// at each step, which it holds between steps, and which velocities have to travel. All tokens are
// those of the whole clip.
type Layout struct {
	Timeline
	Mesh Mesh // of all ranks of the job
	// Shares are the speeds of the window groups, in any unit; nil: all are as fast.
	Shares []float64
}

// Place returns a rank's coordinates in the mesh: its group of windows, its branch of guidance, and
// its number among the ranks that share a sequence.
func (l Layout) Place(rank int) (window, cfg, ulysses int) {
	return rank / (l.Mesh.CFG * l.Mesh.Ulysses), rank / l.Mesh.Ulysses % l.Mesh.CFG,
		rank % l.Mesh.Ulysses
}

// Run returns the windows, as indexes into Windows(step), that a rank's group computes.
func (l Layout) Run(step, rank int) Range { return l.run(l.shift(step), rank) }

func (l Layout) run(shift, rank int) Range {
	g, _, _ := l.Place(rank)
	return l.runs(len(l.windows(shift)))[g]
}

// runs shares n windows among the groups, in order: neighbouring windows, which exchange most, tend
// to be in the same group.
func (l Layout) runs(n int) []Range {
	if l.Shares == nil {
		return Even(n, l.Mesh.Windows())
	}
	return Weighted(n, l.Shares)
}

// Own returns the tokens of the clip that a rank computes in window w of a step, which must be in
// its Run.
func (l Layout) Own(step, rank, w int) Range {
	return l.own(l.windows(l.shift(step))[w], rank)
}

func (l Layout) own(frames Range, rank int) Range {
	_, _, u := l.Place(rank)
	return l.Split(frames)[u].Plus(frames.Lo * l.PerFrame)
}

// Split shares a window's tokens, counted from its first, among the ranks of a sequence.
func (l Layout) Split(frames Range) []Range {
	return Even(frames.Len()*l.PerFrame, l.Mesh.Ulysses)
}

// Held lists the tokens that a rank holds, as sorted ranges: all that it computes at any step. It
// keeps latents and the scheduler's state for these between steps.
func (l Layout) Held(rank int) []Range {
	var all []Range
	for _, s := range l.shifts() {
		windows, run := l.windows(s), l.run(s, rank)
		for w := run.Lo; w < run.Hi; w++ {
			all = append(all, l.own(windows[w], rank))
		}
	}
	return union(all)
}

// Kept lists, for every rank of the first branch, the tokens that it writes to checkpoints and
// results: each token of the clip is kept by exactly one rank, the first of those that hold it.
// Ranks of the second branch keep none, as they hold what the first branch holds.
func (l Layout) Kept() [][]Range {
	out := make([][]Range, l.Mesh.Size())
	var taken []Range
	for rank := range out {
		if _, cfg, _ := l.Place(rank); cfg != 0 {
			continue
		}
		held := l.Held(rank)
		out[rank] = subtract(held, taken)
		taken = union(append(taken, held...))
	}
	return out
}

// KeptDuring is Kept while a window is made after others. Its tokens are then kept by the ranks
// that compute them, since other ranks that hold them receive them only when the window is done.
func (l Layout) KeptDuring(window int) [][]Range {
	frames := l.windows(0)[window]
	tokens := []Range{l.TokensOf(frames)}
	out := l.Kept()
	for rank := range out {
		if _, cfg, _ := l.Place(rank); cfg == 0 {
			out[rank] = union(append(subtract(out[rank], tokens), l.own(frames, rank)))
		}
	}
	return out
}

// subtract returns the parts of the sorted ranges a that lie in none of the sorted ranges b.
func subtract(a, b []Range) []Range {
	var out []Range
	for _, r := range a {
		for _, t := range b {
			if t.Hi <= r.Lo || t.Lo >= r.Hi {
				continue
			}

			if t.Lo > r.Lo {
				out = append(out, Range{r.Lo, t.Lo})
			}
			r.Lo = min(t.Hi, r.Hi)
		}
		if r.Len() > 0 {
			out = append(out, r)
		}
	}
	return out
}

// Piece is a run of the clip's tokens, as one window has them.
type Piece struct {
	Window int
	Tokens Range
}

// Seams lists the velocities of a step that rank `from` computes and that count at tokens which
// rank `to` holds: what travels between the two, by window. Both ranks have to be of the same
// branch.
func (l Layout) Seams(step, from, to int) []Piece {
	return l.seams(l.shift(step), from, l.Held(to))
}

func (l Layout) seams(shift, from int, held []Range) []Piece {
	var out []Piece
	windows, run := l.windows(shift), l.run(shift, from)
	for w := run.Lo; w < run.Hi; w++ {
		own := l.own(windows[w], from).Cut(l.blended(windows[w]))
		for _, h := range held {
			if c := own.Cut(h); c.Len() > 0 {
				out = append(out, Piece{w, c})
			}
		}
	}
	return out
}

// blended returns the tokens of a window whose velocities enter the blend: all but those of the
// first frame, where Fade gives it weight 0. Windows that are made one after the other are passed
// on as a whole.
func (l Layout) blended(frames Range) Range {
	if frames.Lo > 0 && l.Overlap > 0 && !l.Extend {
		frames.Lo++
	}
	return l.TokensOf(frames)
}

// seamWork bounds the number of ranges that estimateSeams looks at for one mesh, as Choose counts
// the bytes of many meshes.
const seamWork = 1 << 11

// estimateSeams is seamTokens of the first step, exact as long as that is little work. For a clip
// of more windows it counts two shorter ones, which differ in one window for each group: in the
// middle of a group every further window adds the same. Of seams that move over many frames it
// takes a few shifts.
func (l Layout) estimateSeams() int64 {
	perWindow := l.Mesh.Ulysses
	if l.Uniform {
		l.shiftsMost = max(2, seamWork/max(1, l.Count()*perWindow))
		perWindow *= min(l.shiftsMost, l.Stride())
	}

	windows, groups := l.Count(), l.Mesh.Windows()
	kept := max(2, seamWork/(perWindow*groups)) // of a group
	cut := windows/groups - kept
	if cut <= 0 || l.Extend {
		return l.seamTokens(0)
	}

	long, short := l, l
	long.Frames -= cut * groups * l.Stride()
	short.Frames = long.Frames - groups*l.Stride()
	n := long.seamTokens(0)
	return n + int64(cut)*max(0, n-short.seamTokens(0))
}

// seamTokens counts the tokens whose velocities travel between ranks in a step: a token held by k
// ranks is sent, per window that contains it, to the k-1 ranks that did not compute it.
func (l Layout) seamTokens(step int) int64 {
	windows := l.Windows(step)
	if len(windows) == 1 {
		return 0
	}

	// Every window's tokens, by the rank that computes them.
	var own []Range
	for _, run := range l.runs(len(windows)) {
		for _, w := range windows[run.Lo:run.Hi] {
			for _, r := range l.Split(w) {
				own = append(own, r.Plus(w.Lo*l.PerFrame).Cut(l.blended(w)))
			}
		}
	}

	// How many ranks hold a token is the number of held ranges that cover it.
	var held []Range
	for _, h := range l.heldByRank() {
		held = append(held, h...)
	}

	sum := coverage(held)
	var n int64
	for _, r := range own {
		n += sum(r.Hi) - sum(r.Lo) - int64(r.Len())
	}
	return n * int64(l.Mesh.CFG)
}

// heldByRank is Held for all ranks of one branch, computed together.
func (l Layout) heldByRank() [][]Range {
	out := make([][]Range, l.Mesh.Windows()*l.Mesh.Ulysses)
	for _, shift := range l.shifts() {
		windows := l.windows(shift)
		for g, run := range l.runs(len(windows)) {
			for _, w := range windows[run.Lo:run.Hi] {
				for u, r := range l.Split(w) {
					at := &out[g*l.Mesh.Ulysses+u]
					*at = append(*at, r.Plus(w.Lo*l.PerFrame))
				}
			}
		}
	}

	for i := range out {
		out[i] = union(out[i])
	}
	return out
}

// coverage returns a function that sums, over all indexes below x, the number of ranges that cover
// each. The difference of two of its values is the sum over an interval, in logarithmic time.
func coverage(all []Range) func(x int) int64 {
	var lows, highs []int
	for _, r := range all {
		lows, highs = append(lows, r.Lo), append(highs, r.Hi)
	}

	// An index is covered by the ranges that have begun and not yet ended before it. Summed up to
	// x, those begun are Σ max(0, x - lo), and those ended Σ max(0, x - hi).
	below := func(ends []int) func(x int) int64 {
		slices.Sort(ends)
		sums := make([]int64, len(ends)+1)
		for i, e := range ends {
			sums[i+1] = sums[i] + int64(e)
		}
		return func(x int) int64 {
			i, _ := slices.BinarySearch(ends, x)
			return int64(i)*int64(x) - sums[i]
		}
	}

	begun, ended := below(lows), below(highs)
	return func(x int) int64 { return begun(x) - ended(x) }
}

// Paired reports whether two ranks may exchange velocities at seams: two different ranks of the
// same branch.
func (l Layout) Paired(a, b int) bool {
	_, ca, _ := l.Place(a)
	_, cb, _ := l.Place(b)
	return a != b && ca == cb
}
