package sparse

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/partition"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Pattern{"": {}, "off": {}, "radial": {Radial: true},
		"window:1": {Window: 1}, "window:1024": {Window: 1024}} {
		if got, ok := Parse(text); got != want || !ok {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"on", "window", "window:", "window:0", "window:-1", "window:1025",
		"window:+3", "window:03", "window:3 ", "Radial", "window:99999999999999999999"} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestDense(t *testing.T) {
	for steps, want := range map[int]int{1: 1, 4: 1, 5: 2, 8: 2, 50: 13} {
		n := 0
		for i := range steps {
			if Dense(i, steps) {
				n++
			}
		}
		if n != want {
			t.Errorf("%d of %d steps are dense, want %d", n, steps, want)
		}
	}
}

// allowed is the rule for two tokens, by their frames and places.
func allowed(p Pattern, perFrame, query, key int) bool {
	i, j := query/perFrame, key/perFrame
	k, l := query%perFrame, key%perFrame
	d := max(i-j, j-i)
	if p.Off() {
		return true
	}
	if !p.Radial {
		return d <= p.Window
	}
	band := 1
	for 2*band <= d {
		band *= 2
	}
	if band <= perFrame {
		return float64(max(k-l, l-k)+1) <= float64(perFrame)/float64(band)
	}
	return k == l && d%((band+perFrame-1)/perFrame) == 0
}

// TestListsFollowTheRuleForTokens compares with the rule applied to every pair of tokens.
func TestListsFollowTheRuleForTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := partition.Grid{T: rapid.IntRange(1, 12).Draw(t, "frames"), PT: 1, PH: 2, PW: 2,
			H: 2 * rapid.IntRange(1, 3).Draw(t, "rows"), W: 2 * rapid.IntRange(1, 4).Draw(t, "columns")}
		p := rapid.SampledFrom([]Pattern{{}, {Window: 1}, {Window: 3}, {Radial: true}}).Draw(t, "pattern")
		tile, first := rapid.IntRange(1, 9).Draw(t, "tile"), rapid.IntRange(1, 3).Draw(t, "first")
		lists, perFrame, tokens := p.Lists(g, tile, first), g.H/2*(g.W/2), g.Tokens()
		for i, list := range lists {
			if !slices.IsSorted(list) {
				t.Fatalf("tile %d attends to %v", i, list)
			}
			for j := range len(lists) {
				pairs, all := 0, 0
				for q := i * tile; q < min((i+1)*tile, tokens); q++ {
					for k := j * tile; k < min((j+1)*tile, tokens); k++ {
						all++
						if allowed(p, perFrame, q, k) {
							pairs++
						}
					}
				}
				want := i == j || j*tile < first*perFrame || pairs > 0 && !p.Radial || p.Radial && 3*pairs >= all
				if got := slices.Contains(list, int32(j)); got != want {
					t.Fatalf("%+v, %v: tile %d attends to tile %d: %v, want %v", p, g, i, j, got, want)
				}
			}
		}
	})
}

// TestShareOfALongClip holds what is left of attention for clips of published sizes.
func TestShareOfALongClip(t *testing.T) {
	grid := func(frames, h, w int) partition.Grid {
		return partition.Grid{T: frames, H: h, W: w, PT: 1, PH: 2, PW: 2}
	}
	for _, c := range []struct {
		pattern  string
		grid     partition.Grid
		from, to float64
	}{
		{"window:3", grid(21, 60, 104), 0.3, 0.4}, {"radial", grid(21, 60, 104), 0.5, 0.65},
		{"window:3", grid(61, 60, 104), 0.1, 0.2}, {"radial", grid(61, 60, 104), 0.2, 0.4},
	} {
		p, _ := Parse(c.pattern)
		n, all := 0, 0
		for _, list := range p.Lists(c.grid, 384, 1) {
			n += len(list)
		}
		all = (c.grid.Tokens() + 383) / 384
		if share := float64(n) / float64(all*all); share < c.from || share > c.to {
			t.Errorf("%s of %d frames: %.2f of all pairs", c.pattern, c.grid.T, share)
		} else {
			t.Logf("%s of %d frames: %.2f of all pairs", c.pattern, c.grid.T, share)
		}
	}
}
