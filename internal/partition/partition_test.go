package partition

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// tiles fails unless the ranges cover [0, n) in order without gap or overlap, none empty.
func tiles(t *rapid.T, rs []Range, n int) {
	at := 0
	for _, r := range rs {
		if r.Lo != at || r.Len() < 1 {
			t.Fatalf("%v do not tile [0, %d)", rs, n)
		}
		at = r.Hi
	}
	if at != n {
		t.Fatalf("%v end at %d, not %d", rs, at, n)
	}
}

func TestRangesTileExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 100000).Draw(t, "n")
		parts := rapid.IntRange(1, min(n, 64)).Draw(t, "parts")
		even := Even(n, parts)
		tiles(t, even, n)
		if even[0].Len()-even[parts-1].Len() > 1 {
			t.Fatalf("sizes of %v differ by more than one", even)
		}
		weights := make([]float64, parts)
		for i := range weights {
			weights[i] = rapid.Float64Range(1e-6, 1e6).Draw(t, "weight")
		}
		tiles(t, Weighted(n, weights), n)
	})
}

func TestWeightedFollowsTheWeights(t *testing.T) {
	if got := Weighted(5, []float64{4, 1}); got[0].Len() != 4 {
		t.Errorf("5 by 4 to 1: %v", got)
	}
	rs := Weighted(1000, []float64{1, 3})
	if d := rs[0].Len(); d < 249 || d > 252 {
		t.Errorf("a weight of 1 in 4 got %d of 1000", d)
	}
}

func TestGridCoordinates(t *testing.T) {
	g := Grid{T: 3, H: 4, W: 6, PT: 1, PH: 2, PW: 2}
	seen := 0
	for tt := range 3 {
		for h := range 2 {
			for w := range 3 {
				if a, b, c := g.Coordinate(seen); a != tt || b != h || c != w {
					t.Fatalf("token %d is at %d, %d, %d", seen, a, b, c)
				}
				seen++
			}
		}
	}
	if seen != g.Tokens() {
		t.Errorf("%d tokens, counted %d", g.Tokens(), seen)
	}
}

func load(t *rapid.T) Load {
	return Load{Timeline: timeline(t),
		Heads:   rapid.IntRange(1, 9).Draw(t, "heads"),
		HeadDim: rapid.IntRange(1, 8).Draw(t, "dim"), Layers: rapid.IntRange(1, 3).Draw(t, "layers"),
		TokenWidth: rapid.IntRange(1, 64).Draw(t, "width"), Guided: rapid.Bool().Draw(t, "guided")}
}

func timeline(t *rapid.T) Timeline {
	tl := Timeline{Frames: rapid.IntRange(1, 30).Draw(t, "frames"),
		PerFrame: rapid.IntRange(1, 5).Draw(t, "per frame"), Uniform: rapid.Bool().Draw(t, "uniform"),
		Window: rapid.IntRange(0, 12).Draw(t, "window")}
	if tl.Window > 0 {
		tl.Overlap = rapid.IntRange(0, tl.Window-1).Draw(t, "overlap")
	}
	return tl
}

// count walks every value that crosses from one rank to another.
func count(m Mesh, l Load) (n int64) {
	tokens, heads := Even(l.WindowTokens(), m.Ulysses), Even(l.Heads, m.Ulysses)
	windows := len(l.Windows(0))
	branches := 1
	if l.Guided {
		branches = 2
	}
	for from := range m.Ulysses {
		for to := range m.Ulysses {
			if from != to {
				qkv := 3 * tokens[from].Len() * heads[to].Len()
				back := tokens[to].Len() * heads[from].Len()
				n += int64(windows * branches * l.Layers * l.HeadDim * (qkv + back))
			}
		}
	}
	if m.CFG == 2 {
		n += int64(2 * windows * l.WindowTokens() * l.TokenWidth)
	}
	layout := Layout{Timeline: l.Timeline, Mesh: m}
	for from := range m.Size() {
		for to := range m.Size() {
			if layout.Paired(from, to) {
				for _, p := range layout.Seams(0, from, to) {
					n += int64(p.Tokens.Len() * l.TokenWidth)
				}
			}
		}
	}
	return 4 * n
}

func TestBytesEqualACountOfEveryValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := load(t)
		m := Mesh{CFG: rapid.IntRange(1, 2).Draw(t, "cfg"),
			Ulysses: rapid.IntRange(1, min(l.Heads, l.WindowTokens())).Draw(t, "ulysses"),
			Window:  rapid.IntRange(0, l.windowsMost()).Draw(t, "groups")}
		if Check(m, l) != nil {
			return
		}
		if got, want := Bytes(m, l).Sum(), count(m, l); got != want {
			t.Fatalf("%v of %+v: %d bytes, counted %d", m, l, got, want)
		}
	})
}

func TestChoiceIsValidAndCheapest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, ranks := load(t), rapid.IntRange(1, 20).Draw(t, "ranks")
		if m := ChooseUpTo(ranks, l); Check(m, l) != nil || m.Size() > ranks {
			t.Fatalf("up to %d ranks: %v: %v", ranks, m, Check(m, l))
		}
		m, err := Choose(ranks, l)
		if err != nil {
			if len(meshes(ranks, l)) > 0 {
				t.Fatalf("%d ranks refused: %v", ranks, err)
			}
			return
		}
		options, err := Explain(ranks, l)
		if err != nil || Check(m, l) != nil || m.Size() != ranks {
			t.Fatalf("%d ranks: %v, %v", ranks, m, err)
		}
		for _, o := range options {
			fewer := o.Bytes.Sum() < Bytes(m, l).Sum() && passes(o.Mesh, l) <= passes(m, l)
			if fewer || o.Best != (o.Mesh == m) || o.Bytes != Bytes(o.Mesh, l) {
				t.Fatalf("%v beats %v", o, m)
			}
			if float64(passes(m, l)) > slack*float64(passes(o.Mesh, l)) {
				t.Fatalf("%v is much faster than %v", o, m)
			}
		}
	})
}

func TestWindowsAreSharedUnlessThatIsSlow(t *testing.T) {
	l := Load{Heads: 8, HeadDim: 32,
		Layers: 8, TokenWidth: 64, Guided: true}
	f := func(ranks, frames int, want Mesh) {
		t.Helper()
		l.Timeline = Timeline{Frames: frames, PerFrame: 24, Window: 9, Overlap: 3}
		if m, err := Choose(ranks, l); err != nil || m != want {
			t.Errorf("%d ranks, %d frames: %v, %v; want %v", ranks, frames, m, err, want)
		}
	}
	f(3, 241, Mesh{3, 1, 1}) // 40 windows: 14 for the busiest
	f(2, 21, Mesh{0, 2, 1})  // 3 windows
	f(2, 241, Mesh{2, 1, 1}) // 20 each
	f(4, 9, Mesh{0, 2, 2})   // one window
	f(60, 241, Mesh{15, 2, 2})
}

func TestRefusalsSayWhatIsAllowed(t *testing.T) {
	l := Load{Timeline: Timeline{Frames: 9, PerFrame: 24}, Heads: 8, HeadDim: 32, Layers: 8,
		TokenWidth: 64, Guided: true}
	f := func(err error, want ...string) {
		t.Helper()
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v does not say %q", err, w)
			}
		}
	}
	_, err := Choose(9, l)
	f(err, "9", "8 or 10")
	_, err = Choose(40, l)
	f(err, "16 (")
	f(Check(Mesh{0, 1, 9}, l), "ulysses", "1 to 8")
	f(Check(Mesh{0, 3, 1}, l), "cfg 1")
	f(Check(Mesh{2, 1, 1}, l), "window from 1 to 1")
	l.Guided = false
	f(Check(Mesh{0, 2, 1}, l), "guidance")
}
