package vae

import (
	"fmt"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/partition"
	"pgregory.net/rapid"
)

// decodeFrom returns the frames of a band of a clip from latent frame n on.
func decodeFrom(t fataler, d *Decoder, clip [][]float32, h, w int, rows partition.Range,
	n int) [][]float32 {
	t.Helper()
	s, err := d.NewBand(h, w, rows)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer s.Free()
	return rest(t, s, clip, n)
}

// rest returns the frames that a stream makes of a clip's latent frames from n on.
func rest(t fataler, s *Stream, clip [][]float32, n int) [][]float32 {
	t.Helper()
	var out [][]float32
	for i := s.From(n); i < len(clip); i++ {
		frames, err := s.Next(clip[i])
		if err != nil {
			t.Fatalf("%v", err)
		}
		if want := map[bool]int{i == 0: 1, i > 0: 4, i < n: 0}[true]; len(frames) != want {
			t.Fatalf("from %d: latent frame %d gave %d frames, want %d", n, i, len(frames), want)
		}
		out = append(out, frames...)
	}
	return out
}

// framesBefore counts the frames that the latent frames before n make.
func framesBefore(n int) int { return max(0, 4*n-3) }

// TestWarmUpOfEachLayer compares with what was counted by hand for Wan's decoder, which the tiny
// ones have the shape of, and the demo's.
func TestWarmUpOfEachLayer(t *testing.T) {
	for _, c := range []struct {
		path []string
		want warmUp
	}{
		{[]string{"testdata", "golden", "tiny7"},
			warmUp{38, []int{28, 24, 20, 16, 14, 12, 10, 8, 7, 6, 5, 4, 4, 3, 2, 1}}},
		{[]string{"models", "demo"}, warmUp{30, []int{20, 16, 12, 10, 8, 6, 5, 4, 3, 3, 2, 1}}},
	} {
		if got := load(t, c.path...).warmUp(); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%v: %v, want %v", c.path, got, c.want)
		}
	}
}

// TestAStreamMayBeginAnywhere compares with the end of the whole clip, whole frames and bands.
func TestAStreamMayBeginAnywhere(t *testing.T) {
	for _, c := range []struct {
		path []string
		h, w int
	}{{[]string{"models", "demo"}, 2, 1}, {[]string{"testdata", "golden", "tiny7"}, 4, 1},
		{[]string{"testdata", "golden", "tiny5"}, 1, 3}} {
		d := load(t, c.path...)
		const frames = 44
		clip := random(d, 7, frames, c.h, c.w)
		all := partition.Range{Hi: c.h}
		whole := decodeRows(t, d, clip, c.h, c.w, all)
		begins := []int{0, 1, 2, 3, 8, 14, 29, 30, 31, 37, 38, 39, 40, 43, 44}
		if testing.Short() || c.h == 1 { // tiny5 warms up as tiny7 does
			begins = []int{2, 40}
		}
		for i, n := range begins {
			rows := []partition.Range{all, {Lo: c.h / 2, Hi: c.h}}[i%2]
			got := decodeFrom(t, d, clip, c.h, c.w, rows, n)
			sameRows(t, got, whole[framesBefore(n):], rows, c.h)
		}
	}
}

func TestAnyBandMayBeginAnywhere(t *testing.T) {
	golden.Rounds(t, 40)
	d := load(t, "testdata", "golden", "tiny7")
	rapid.Check(t, func(t *rapid.T) {
		h, w := rapid.IntRange(1, 8).Draw(t, "h"), rapid.IntRange(1, 3).Draw(t, "w")
		clip := random(d, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 12).Draw(t, "frames"), h, w)
		rows := partition.Range{Lo: rapid.IntRange(0, h-1).Draw(t, "lo")}
		rows.Hi = rapid.IntRange(rows.Lo+1, h).Draw(t, "hi")
		n := rapid.IntRange(0, len(clip)).Draw(t, "from")
		whole := decodeRows(t, d, clip, h, w, partition.Range{Hi: h})
		sameRows(t, decodeFrom(t, d, clip, h, w, rows, n), whole[framesBefore(n):], rows, h)
	})
}

// TestNoLayerBeginsEarlierThanItMust has the trunk, then each step, begin one latent frame later:
// that has to show.
func TestNoLayerBeginsEarlierThanItMust(t *testing.T) {
	d := load(t, "testdata", "golden", "tiny7")
	const h, w, n = 2, 2, 40
	clip := random(d, 5, n+1, h, w)
	want := decodeFrom(t, d, clip, h, w, partition.Range{Hi: h}, n)
	for i := -1; i < len(d.warmUp().steps); i++ {
		s, err := d.NewStream(h, w)
		if err != nil {
			t.Fatal(err)
		}
		if i < 0 {
			s.warmUp.trunk--
		} else {
			s.warmUp.steps[i]--
		}
		if slices.EqualFunc(rest(t, s, clip, n), want, slices.Equal[[]float32]) {
			t.Errorf("step %d can begin later", i)
		}
		s.Free()
	}
}

// TestMemoryOfAStreamThatBeginsLater wants no more memory than from the first frame on, and none
// allocated once it gives frames: later ones could not start again.
func TestMemoryOfAStreamThatBeginsLater(t *testing.T) {
	d := load(t, "testdata", "golden", "tiny7")
	c := &counting{Device: &compute.Meter{Like: d.dev}}
	d.dev = c
	const h, w = 4, 2
	all := partition.Range{Hi: h}
	clip := random(d, 1, 45, h, w)
	decodeRows(t, d, clip[:3], h, w, all)
	most := c.peak
	for _, n := range []int{1, 2, 20, 41} {
		s, err := d.NewStream(h, w)
		if err != nil {
			t.Fatal(err)
		}
		c.peak = 0
		for i := s.From(n); i < len(clip); i++ {
			before, settled := c.used, s.allocated()
			if _, err := s.Next(clip[i]); err != nil {
				t.Fatal(err)
			}
			if settled && c.used != before || i > n && !settled {
				t.Errorf("from %d, latent frame %d: settled is %v, %d elements became %d", n, i, settled,
					before, c.used)
			}
			if seen := len(s.inputs); s.allocated() && seen > 0 {
				t.Errorf("from %d, latent frame %d: %d latent frames are kept", n, i, seen)
			}
		}
		s.Free()
		if c.peak > most || c.used != 0 {
			t.Errorf("from %d: %d elements, from the start %d; %d are still in use", n, c.peak, most, c.used)
		}
	}
}

// TestTooLittleMemoryWhereAStreamBeginsLater takes memory away until bands are decoded one after
// the other: latent frames so far are decoded again, however far the stream was.
func TestTooLittleMemoryWhereAStreamBeginsLater(t *testing.T) {
	if testing.Short() {
		t.Skip("computes alone: nothing for the race detector")
	}
	d := load(t, "testdata", "golden", "tiny7")
	c := &counting{Device: d.dev}
	d.dev = c
	const h, w = 48, 1
	all := partition.Range{Hi: h}
	clip := random(d, 3, 7, h, w)
	whole := decodeRows(t, d, clip, h, w, all)
	most := c.peak
	for _, n := range []int{1, 5} {
		var seen []int
		for _, share := range []float64{1, 0.5, 0.35} {
			s, err := limited(t, d, int(share*float64(most))).NewStream(h, w)
			if err != nil {
				t.Fatal(err)
			}
			sameRows(t, rest(t, s, clip, n), whole[framesBefore(n):], all, h)
			seen = append(seen, s.Bands())
			s.Free()
		}
		if seen[0] != 1 || seen[len(seen)-1] < 4 || !slices.IsSorted(seen) {
			t.Errorf("from %d: bands with ever less memory: %v", n, seen)
		}
	}
}

// working is a device that counts the multiplications of convolutions.
type working struct {
	compute.Device
	done float64
}

func (c *working) Conv(out, x compute.Volume, w compute.Conv, a compute.ConvArgs) {
	c.done += float64(products(w.Shape())) * float64(out.Rows)
	c.Device.Conv(out, x, w, a)
}

// TestBeginningLaterTakesLittle counts the work before the first frame, in latent frames.
func TestBeginningLaterTakesLittle(t *testing.T) {
	for _, c := range []struct {
		path []string
		most float64
	}{{[]string{"testdata", "golden", "tiny7"}, 8}, {[]string{"models", "demo"}, 6}} {
		d := load(t, c.path...)
		work := &working{Device: &compute.Meter{Like: d.dev}}
		d.dev = work
		const h, w, n = 4, 4, 50
		clip := random(d, 1, n+1, h, w)
		s, err := d.NewStream(h, w)
		if err != nil {
			t.Fatal(err)
		}
		rest(t, s, clip[:n], n)
		before := work.done
		work.done = 0
		if _, err := s.Next(clip[n]); err != nil {
			t.Fatal(err)
		}
		if got := before / work.done; got > c.most {
			t.Errorf("%v: as much as for %.2f latent frames, want %v", c.path, got, c.most)
		} else {
			t.Logf("%v: as much as for %.2f latent frames", c.path, got)
		}
		s.Free()
	}
}
