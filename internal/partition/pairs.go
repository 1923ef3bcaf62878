package partition

import (
	"cmp"
	"slices"
)

// Pass is what the ranks of a group send each other in one pass over one window, by their number in
// the group.
type Pass struct {
	// Tokens and Heads are how many each rank has.
	Tokens, Heads []int
	// Unit is what one head of one token is in all layers, in bytes.
	Unit int64
}

// PassOf returns the pass of a load on a mesh, which must pass Check.
func PassOf(m Mesh, l Load) Pass {
	p := Pass{Unit: int64(l.HeadDim) * int64(l.Layers) * int64(cmp.Or(l.ElementBytes, 4))}
	for _, r := range Even(l.WindowTokens(), m.Ulysses) {
		p.Tokens = append(p.Tokens, r.Len())
	}
	for _, r := range Even(l.Heads, m.Ulysses) {
		p.Heads = append(p.Heads, r.Len())
	}
	return p
}

// Bytes returns what one rank sends another: queries, keys and values of its tokens for the other
// one's heads, and attention's output of its heads for the other one's tokens.
func (p Pass) Bytes(from, to int) int64 {
	there := 3 * int64(p.Tokens[from]) * int64(p.Heads[to])
	back := int64(p.Tokens[to]) * int64(p.Heads[from])
	return (there + back) * p.Unit
}

// Pair is what one rank sends another in a step, in bytes.
type Pair struct {
	From, To int
	Bytes    int64
}

// Velocities lists what ranks send each other between passes in the first step: velocities of the
// other branch, and those where windows overlap. It is exact but for seams that move in a clip of
// many windows, of which it looks at a few shifts. shares are those of the window groups; nil:
// even.
func Velocities(m Mesh, l Load, shares []float64) []Pair {
	layout := Layout{Timeline: l.Timeline, Mesh: m, Shares: shares}
	if l.Uniform {
		layout.shiftsMost = max(2, seamWork/max(1, l.Count()*m.Ulysses))
	}
	windows := l.Windows(0)
	runs := layout.runs(len(windows))
	out := guidancePairs(m, l, runs)
	if len(windows) == 1 {
		return out
	}
	return append(out, layout.seamPairs(windows, runs, int64(l.TokenWidth)*floatBytes)...)
}

// guidancePairs lists the swaps of the branches: each rank with the one of its tokens.
func guidancePairs(m Mesh, l Load, runs []Range) (out []Pair) {
	if m.CFG != 2 {
		return nil
	}
	tokens := Even(l.WindowTokens(), m.Ulysses)
	for g, run := range runs {
		for u, t := range tokens {
			a := g*2*m.Ulysses + u
			n := int64(run.Len()) * int64(t.Len()) * int64(l.TokenWidth) * floatBytes
			out = append(out, Pair{a, a + m.Ulysses, n}, Pair{a + m.Ulysses, a, n})
		}
	}
	return out
}

// seamPairs lists who sends velocities to whom where windows overlap, in all branches.
func (l Layout) seamPairs(windows, runs []Range, tokenBytes int64) (out []Pair) {
	// The held ranges in order, so that those that a window meets are found without all others.
	type part struct {
		Range
		rank int // of one branch
	}

	var held []part
	longest := 0
	for rank, ranges := range l.heldByRank() {
		for _, r := range ranges {
			held, longest = append(held, part{r, rank}), max(longest, r.Len())
		}
	}
	slices.SortStableFunc(held, func(a, b part) int { return a.Lo - b.Lo })

	bytes, order := map[[2]int]int64{}, [][2]int(nil)
	meet := func(from int, own Range) {
		i, _ := slices.BinarySearchFunc(held, own.Lo-longest,
			func(p part, lo int) int { return p.Lo - lo })
		for ; i < len(held) && held[i].Lo < own.Hi; i++ {
			key := [2]int{from, held[i].rank}
			n := int64(own.Cut(held[i].Range).Len())
			if n == 0 || held[i].rank == from {
				continue
			}
			if bytes[key] == 0 {
				order = append(order, key)
			}
			bytes[key] += n * tokenBytes
		}
	}

	for g, run := range runs {
		for _, w := range windows[run.Lo:run.Hi] {
			for u, r := range l.Split(w) {
				meet(g*l.Mesh.Ulysses+u, r.Plus(w.Lo*l.PerFrame).Cut(l.blended(w)))
			}
		}
	}

	for _, key := range order {
		for c := range l.Mesh.CFG {
			out = append(out, Pair{l.inBranch(key[0], c), l.inBranch(key[1], c), bytes[key]})
		}
	}
	return out
}

// inBranch returns the rank of the mesh of a rank that is counted within one branch.
func (l Layout) inBranch(rank, cfg int) int {
	g, u := rank/l.Mesh.Ulysses, rank%l.Mesh.Ulysses
	return (g*l.Mesh.CFG+cfg)*l.Mesh.Ulysses + u
}

// Meshes lists the meshes of at most limit ranks that pass Check.
func Meshes(limit int, l Load) (out []Mesh) {
	limit = min(limit, ranksMax)
	for w := 1; w <= min(limit, l.windowsMost()); w++ {
		for cfg := 1; cfg <= int(l.branches()); cfg++ {
			for u := 1; u <= l.sharersMost() && w*cfg*u <= limit; u++ {
				m := Mesh{CFG: cfg, Ulysses: u}
				if w > 1 {
					m.Window = w
				}
				out = append(out, m)
			}
		}
	}
	return out
}

// RunsOf returns how many windows each group of a mesh computes in the first step. shares are the
// speeds of the groups; nil: even.
func RunsOf(m Mesh, l Load, shares []float64) (out []int) {
	for _, r := range (Layout{Mesh: m, Shares: shares}).runs(l.Count()) {
		out = append(out, r.Len())
	}
	return out
}
