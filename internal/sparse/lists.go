package sparse

import (
	"math/bits"

	"github.com/longtake/longtake/internal/partition"
)

// Lists returns, for each tile of so many tokens of a clip of grid g, the tiles that its tokens
// attend to, in ascending order. Each list has the tile itself, and those with tokens of the first
// frames, to which all tokens attend: one, and one for each reference picture. Of the others, a
// window has every tile that any of the tokens attends to. Radial has those in which at least a
// third of the pairs of tokens attend to each other: the authors' program also drops tiles with few
// pairs.
func (p Pattern) Lists(g partition.Grid, tile, first int) [][]int32 {
	perFrame := g.H / g.PH * (g.W / g.PW)
	tokens := g.Tokens()
	n := (tokens + tile - 1) / tile
	lists := make([][]int32, n)
	for i := range lists {
		q := run{i * tile, min((i+1)*tile, tokens), perFrame}
		for j := range n {
			k := run{j * tile, min((j+1)*tile, tokens), perFrame}
			if k.lo < first*perFrame || p.attends(q, k) {
				lists[i] = append(lists[i], int32(j)) //nolint:gosec // far fewer
			}
		}
	}
	return lists
}

// run is some tokens in a row, [lo, hi), of frames of perFrame tokens.
type run struct{ lo, hi, perFrame int }

// frames returns the first and the last frame that the run has tokens of.
func (r run) frames() (first, last int) { return r.lo / r.perFrame, (r.hi - 1) / r.perFrame }

// part returns which places of a frame the run has, the first and the last.
func (r run) part(frame int) (first, last int) {
	at := frame * r.perFrame
	return max(r.lo-at, 0), min(r.hi-at, r.perFrame) - 1
}

// attends reports whether the tokens of q attend to those of k.
func (p Pattern) attends(q, k run) bool {
	if p.Off() || q == k {
		return true
	}
	q0, q1 := q.frames()
	k0, k1 := k.frames()
	if !p.Radial {
		return k0 <= q1+p.Window && q0 <= k1+p.Window
	}

	pairs := 0
	for i := q0; i <= q1; i++ {
		for j := k0; j <= k1; j++ {
			pairs += radial(q, k, i, j)
		}
	}
	return 3*pairs >= (q.hi-q.lo)*(k.hi-k.lo)
}

// radial counts the pairs of a token of q in frame i and one of k in frame j that attend to each
// other by the rule of Radial Attention (Li et al. 2025, section 4.2). Within a frame, and between
// neighbouring frames, all pairs do. Each time the distance of the frames doubles, a token attends
// to half as many places around its own. Where that is less than one place, it attends to its own
// in every second, fourth, ... frame only.
func radial(q, k run, i, j int) int {
	distance := max(i-j, j-i)
	band := 1 << (bits.Len(uint(max(distance, 1))) - 1) //nolint:gosec // distances are not negative
	width := q.perFrame / band                          // places up to so many apart, less one
	if every := (band + q.perFrame - 1) / q.perFrame; width < 1 {
		if distance%every != 0 {
			return 0
		}
		width = 1
	}

	// Places a of q and b of k, counted from the first that each has: |first + a - b| < width.
	q0, q1 := q.part(i)
	k0, k1 := k.part(j)
	m, n, first := q1-q0+1, k1-k0+1, q0-k0
	return upTo(width-1-first, m, n) - upTo(-width-first, m, n)
}

// upTo counts the pairs of a in [0, m) and b in [0, n) with a - b <= t.
func upTo(t, m, n int) int {
	// For each b the places a up to b+t, of which there are from 0 to m.
	return triangle(t+n) - triangle(t) - triangle(t+n-m) + triangle(t-m)
}

// triangle is 1 + 2 + ... + n, and 0 below.
func triangle(n int) int {
	if n <= 0 {
		return 0
	}
	return n * (n + 1) / 2
}
