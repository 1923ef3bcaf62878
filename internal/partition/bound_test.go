package partition

import (
	"fmt"
	"runtime"
	"testing"

	"pgregory.net/rapid"
)

// planBytes bounds what planning one clip may allocate. The planner takes at most 8 MiB; the list
// of a clip's windows alone may take 4 MiB, and there are hundreds of meshes to compare.
const planBytes = 32 << 20

// TestAnyLegalClipIsPlannedAtOnce plans clips at the ends of what a request may ask for. It holds
// the planner to bytes, not to seconds, which depend on the machine: one that lists the windows of
// each mesh again takes minutes, and gigabytes.
func TestAnyLegalClipIsPlannedAtOnce(t *testing.T) {
	const frames, tokens = 1 << 18, 1 << 25
	windows := [][2]int{{1, 0}, {2, 1}, {21, 5}, {2000, 1999}, {1 << 17, 1<<17 - 1}, {1 << 17, 1},
		{frames - 1, 0}}
	for _, heads := range []int{12, 1 << 20} {
		for i, w := range windows {
			l := Load{Timeline: Timeline{Frames: frames, PerFrame: tokens / frames, Window: w[0],
				Overlap: w[1], Uniform: i%2 == 0}, Heads: heads, HeadDim: 128, Layers: 40, TokenWidth: 64,
				Guided: true}
			f := func(ranks int, plan func()) {
				if n := allocated(plan); n > planBytes {
					t.Fatalf("%d ranks, %+v: %d bytes allocated; at most: %d", ranks, l, n, planBytes)
				}
			}
			f(839, func() { Choose(839, l) }) //nolint:errcheck // either way
			f(960, func() { Choose(960, l) }) //nolint:errcheck // either way
			f(1024, func() { ChooseUpTo(1023, l) })
			l.Uniform = !l.Uniform
			f(960, func() { Choose(960, l) }) //nolint:errcheck // either way
		}
	}
}

// allocated returns how many bytes f allocates, whether it frees them or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestWindowsAreCountedWithoutAList holds the count to the list, and to be the least of all steps.
func TestWindowsAreCountedWithoutAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Timeline{Frames: rapid.IntRange(1, 60).Draw(t, "frames"), PerFrame: 1,
			Window: rapid.IntRange(0, 70).Draw(t, "window"), Uniform: rapid.Bool().Draw(t, "uniform"),
			Extend: rapid.Bool().Draw(t, "extend")}
		l.Overlap = rapid.IntRange(0, max(0, l.window()-1)).Draw(t, "overlap")
		if l.Count() != len(l.windows(0)) {
			t.Fatalf("%+v: %d windows, counted %d", l, len(l.windows(0)), l.Count())
		}
		for _, s := range l.shifts() {
			if n := len(l.windows(s)); n < l.Count() || n > l.Count()+1 {
				t.Fatalf("%+v moved by %d: %d windows, %d at first", l, s, n, l.Count())
			}
		}
	})
}

// TestSeamsOfLongClipsAreCountedFromShorterOnes compares with the count of all.
func TestSeamsOfLongClipsAreCountedFromShorterOnes(t *testing.T) {
	for _, c := range []struct {
		frames, window, overlap, groups, ulysses int
	}{{20000, 21, 5, 4, 12}, {30000, 9, 3, 1, 12}, {30000, 4, 0, 3, 5}, {9000, 3, 2, 7, 40}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			l := Layout{Timeline: Timeline{Frames: c.frames, PerFrame: 30, Window: c.window,
				Overlap: c.overlap}, Mesh: Mesh{Window: c.groups, CFG: 1, Ulysses: c.ulysses}}
			if l.Count()*c.ulysses <= seamWork {
				t.Fatal("this clip is not long")
			}
			if got, want := l.estimateSeams(), l.seamTokens(0); got != want {
				t.Errorf("%d tokens travel, counted %d", want, got)
			}
		})
	}
}
