package partition

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestWindowsOfTheReference(t *testing.T) {
	for _, c := range []struct {
		frames, window, overlap int
		want                    []Range
	}{
		{11, 9, 3, []Range{{0, 9}, {2, 11}}},
		{14, 6, 2, []Range{{0, 6}, {4, 10}, {8, 14}}},
		{21, 9, 3, []Range{{0, 9}, {6, 15}, {12, 21}}},
		{15, 6, 2, []Range{{0, 6}, {4, 10}, {8, 14}, {9, 15}}},
		{9, 9, 3, []Range{{0, 9}}}, {5, 9, 3, []Range{{0, 5}}}, {7, 0, 0, []Range{{0, 7}}},
	} {
		tl := Timeline{Frames: c.frames, PerFrame: 1, Window: c.window, Overlap: c.overlap}
		if got := tl.Windows(3); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestFadeOfTheReference(t *testing.T) {
	tl := Timeline{Frames: 21, PerFrame: 1, Window: 9, Overlap: 3}
	third := float32(1) / 3
	want := []float32{0, third, 1 - third, 1, 1, 1, 0.75, 0.5, 0.25}
	if got := tl.Fade(Range{6, 15}); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	want = []float32{1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25}
	if got := tl.Fade(Range{0, 9}); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestEveryFrameHasWeight covers a clip with windows of one length, at every step, and wants each
// frame to count somewhere.
func TestEveryFrameHasWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl, step := timeline(t), rapid.IntRange(0, 50).Draw(t, "step")
		sum := make([]float32, tl.Frames)
		windows := tl.Windows(step)
		for i, w := range windows {
			if w.Len() != tl.window() || w.Lo < 0 || w.Hi > tl.Frames {
				t.Fatalf("%+v: window %v", tl, w)
			}
			if i > 0 && (w.Lo <= windows[i-1].Lo || windows[i-1].Hi-w.Lo < tl.Overlap) {
				t.Fatalf("%+v: %v", tl, windows)
			}
			for k, f := range tl.Fade(w) {
				sum[w.Lo+k] += f
			}
		}
		for i, s := range sum {
			if !(s > 0) {
				t.Fatalf("%+v: frame %d of %v weighs %v", tl, i, windows, s)
			}
		}
	})
}

func layout(t *rapid.T) Layout {
	tl := timeline(t)
	l := Load{Timeline: tl, Heads: 8}
	m := Mesh{Window: rapid.IntRange(1, l.windowsMost()).Draw(t, "window groups"),
		CFG:     rapid.IntRange(1, 2).Draw(t, "cfg"),
		Ulysses: rapid.IntRange(1, min(4, tl.WindowTokens())).Draw(t, "ulysses")}
	out := Layout{Timeline: tl, Mesh: m}
	if rapid.Bool().Draw(t, "uneven") {
		for range m.Windows() {
			out.Shares = append(out.Shares, rapid.Float64Range(0.2, 4).Draw(t, "share"))
		}
	}
	return out
}

// TestWindowsAreComputedOnce: at every step each token of each window is computed by one rank of
// every branch, which holds it.
func TestWindowsAreComputedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, step := layout(t), rapid.IntRange(0, 20).Draw(t, "step")
		count := map[[3]int]int{}
		for rank := range l.Mesh.Size() {
			_, cfg, _ := l.Place(rank)
			held, run := l.Held(rank), l.Run(step, rank)
			for w := run.Lo; w < run.Hi; w++ {
				own := l.Own(step, rank, w)
				if !slices.ContainsFunc(held, func(h Range) bool { return h.Cut(own) == own }) {
					t.Fatalf("rank %d computes %v and holds %v", rank, own, held)
				}
				for i := own.Lo; i < own.Hi; i++ {
					count[[3]int{cfg, w, i}]++
				}
			}
		}
		for w, r := range l.Windows(step) {
			for i := r.Lo * l.PerFrame; i < r.Hi*l.PerFrame; i++ {
				for cfg := range l.Mesh.CFG {
					if n := count[[3]int{cfg, w, i}]; n != 1 {
						t.Fatalf("token %d of window %d is computed %d times in branch %d", i, w, n, cfg)
					}
				}
			}
		}
	})
}

// TestKeptTokensTileTheClip, and are held where they are kept.
func TestKeptTokensTileTheClip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := layout(t)
		seen := make([]int, l.Tokens())
		for rank, kept := range l.Kept() {
			for _, r := range kept {
				if !slices.ContainsFunc(l.Held(rank), func(h Range) bool { return h.Cut(r) == r }) {
					t.Fatalf("rank %d keeps %v and holds %v", rank, r, l.Held(rank))
				}
				for i := r.Lo; i < r.Hi; i++ {
					seen[i]++
				}
			}
		}
		if slices.ContainsFunc(seen, func(n int) bool { return n != 1 }) {
			t.Fatalf("tokens are kept %v times", seen)
		}
	})
}

// TestSeamsBringEveryVelocity: what a rank computes and what it is sent are the velocities of all
// windows at all tokens that it holds, each once, but for those that weigh nothing.
func TestSeamsBringEveryVelocity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, step := layout(t), rapid.IntRange(0, 20).Draw(t, "step")
		me := rapid.IntRange(0, l.Mesh.Size()-1).Draw(t, "rank")
		got := map[[2]int]int{}
		note := func(p Piece) {
			for i := p.Tokens.Lo; i < p.Tokens.Hi; i++ {
				got[[2]int{p.Window, i}]++
			}
		}
		run := l.Run(step, me)
		for w := run.Lo; w < run.Hi; w++ {
			note(Piece{w, l.Own(step, me, w)})
		}
		for from := range l.Mesh.Size() {
			if l.Paired(from, me) {
				for _, p := range l.Seams(step, from, me) {
					note(p)
				}
			}
		}
		for w, frames := range l.Windows(step) {
			tokens := Range{frames.Lo * l.PerFrame, frames.Hi * l.PerFrame}
			for _, h := range l.Held(me) {
				c := tokens.Cut(h)
				for i := c.Lo; i < c.Hi; i++ {
					weighs := l.Fade(frames)[i/l.PerFrame-frames.Lo] > 0
					if n := got[[2]int{w, i}]; n > 1 || n == 0 && weighs {
						t.Fatalf("token %d of window %d comes %d times", i, w, n)
					}
					delete(got, [2]int{w, i})
				}
			}
		}
		if len(got) > 0 {
			t.Fatalf("%d velocities are of no use: %v", len(got), got)
		}
	})
}
