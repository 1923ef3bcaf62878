package diffusion

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestLatentTime(t *testing.T) {
	f := func(seconds float64, want float64) {
		t.Helper()
		if got := LatentTime(seconds, 16, 4); got != want {
			t.Errorf("%v s is latent frame %v, want %v", seconds, got, want)
		}
	}
	f(0, 0)
	f(1.0/16, 1)   // the first latent frame is one frame
	f(5.0/16, 2)   // the next one four
	f(33.0/16, 9)  // the end of 33 frames
	f(0.5/16, 0.5) // half of the first
}

func TestScenes(t *testing.T) {
	one, three := []float64{0}, []float64{0, 10, 40}
	for _, c := range []struct {
		name         string
		starts       []float64
		a, b, window int
		want         []Weight
	}{
		{"one scene", one, 0, 8, 8, []Weight{{0, 1}}},
		{"before a change", three, 0, 6, 6, []Weight{{0, 1}}},
		{"at its edge", three, 4, 10, 6, []Weight{{0, 1}}},
		{"a third on", three, 6, 12, 6, []Weight{{0, 4.0 / 6}, {1, 1 - 4.0/6}}},
		{"on it", three, 7, 13, 6, []Weight{{0, 0.5}, {1, 0.5}}},
		{"after it", three, 10, 16, 6, []Weight{{1, 1}}},
		{"the last", three, 40, 46, 6, []Weight{{2, 1}}},
		{"a short window at the end", three, 44, 46, 6, []Weight{{2, 1}}},
		{"wide enough for all", three, 0, 60, 60, []Weight{{0, 1.0 / 6}, {1, 0.5}, {2, 1.0 / 3}}},
		{"a window that reaches past the start", []float64{0, 2}, 0, 2, 8,
			[]Weight{{0, 0.625}, {1, 0.375}}},
	} {
		got := Scenes(c.starts, c.a, c.b, c.window)
		near := slices.EqualFunc(got, c.want, func(x, y Weight) bool {
			return x.Scene == y.Scene && math.Abs(float64(x.Weight-y.Weight)) < 1e-6
		})
		if !near {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestScenesAreABlend draws any storyboard: weights add up to 1, are of neighbours, are 1 away from
// changes, and change by no more than a window's step.
func TestScenesAreABlend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		starts := []float64{0}
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			gap := rapid.Float64Range(0.01, 20).Draw(t, "gap")
			starts = append(starts, starts[len(starts)-1]+gap)
		}
		window := rapid.IntRange(1, 24).Draw(t, "window")
		before := map[int]float64{}
		for a := range 80 {
			got := Scenes(starts, a, a+window, window)
			sum, now := 0.0, map[int]float64{}
			for i, w := range got {
				if w.Weight <= 0 || w.Weight > 1 || i > 0 && w.Scene <= got[i-1].Scene {
					t.Fatalf("weights %v", got)
				}
				sum += float64(w.Weight)
				now[w.Scene] = float64(w.Weight)
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Fatalf("weights %v add up to %v", got, sum)
			}
			if last := starts[len(starts)-1]; float64(a) >= last &&
				!reflect.DeepEqual(got, []Weight{{len(starts) - 1, 1}}) {
				t.Fatalf("in the last scene from %v on, frames from %d show %v", last, a, got)
			}
			for i := range starts {
				if a > 0 && math.Abs(now[i]-before[i]) > 1/float64(window)+1e-5 {
					t.Fatalf("scene %d goes from %v to %v in a frame", i, before[i], now[i])
				}
			}
			before = now
		}
	})
}

func TestBlendEmbeds(t *testing.T) {
	short, long := []float32{1, 2}, []float32{10, 20, 30, 40}
	all := [][]float32{short, long}
	f := func(want []float32, weights ...Weight) {
		t.Helper()
		if got := BlendEmbeds(all, 2, weights); !slices.Equal(got, want) {
			t.Errorf("%v gives %v, want %v", weights, got, want)
		}
	}
	f(short, Weight{0, 1})
	f(long, Weight{1, 1})
	f([]float32{3.25, 6.5, 7.5, 10}, Weight{0, 0.75}, Weight{1, 0.25})
	if !slices.Equal(short, []float32{1, 2}) || !slices.Equal(long, []float32{10, 20, 30, 40}) {
		t.Error("blending changed its input")
	}
}
