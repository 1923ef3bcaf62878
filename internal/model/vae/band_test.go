package vae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/partition"
	"pgregory.net/rapid"
)

// random returns the latent frames [C, h, w] of a clip.
func random(d *Decoder, seed uint64, frames, h, w int) [][]float32 {
	r, out := rand.New(rand.NewPCG(seed, 1)), make([][]float32, frames)
	for t := range out {
		out[t] = make([]float32, d.cfg.ZDim*h*w)
		for i := range out[t] {
			out[t][i] = float32(r.NormFloat64())
		}
	}
	return out
}

// decodeRows returns the frames of a band of a clip.
func decodeRows(t fataler, d *Decoder, clip [][]float32, h, w int,
	rows partition.Range) [][]float32 {
	t.Helper()
	s, err := d.NewBand(h, w, rows)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer s.Free()
	var out [][]float32
	for _, z := range clip {
		frames, err := s.Next(z)
		if err != nil {
			t.Fatalf("%v", err)
		}
		out = append(out, frames...)
	}
	return out
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// sameRows fails where a band's frames are not bit for bit the rows of the whole ones.
func sameRows(t fataler, band, whole [][]float32, rows partition.Range, h int) {
	t.Helper()
	if len(band) != len(whole) {
		t.Fatalf("rows %v: %d frames, want %d", rows, len(band), len(whole))
	}
	for i := range whole {
		line := len(whole[i]) / h
		want := whole[i][rows.Lo*line : rows.Hi*line]
		if len(band[i]) != len(want) {
			t.Fatalf("rows %v, frame %d: %d values, want %d", rows, i, len(band[i]), len(want))
		}
		for j := range want {
			if math.Float32bits(band[i][j]) != math.Float32bits(want[j]) {
				t.Fatalf("rows %v, frame %d: value %d is %g, want %g", rows, i, j, band[i][j], want[j])
			}
		}
	}
}

func TestBandsAreTheRowsOfTheWholeFrame(t *testing.T) {
	d := load(t, "models", "demo")
	names := []string{"vae_odd", "vae_image", "vae_clip"}
	if testing.Short() {
		names = names[:1]
	}
	for _, name := range names {
		g := golden.Open(t, name)
		shape := g.Tensor("latent").Shape // [1, C, T, h, w]
		frames, h, w := shape[2], shape[3], shape[4]
		clip := latentFrames(d, g.Floats("latent"), frames, h*w)
		whole := decodeRows(t, d, clip, h, w, partition.Range{Lo: 0, Hi: h})
		all := [][]partition.Range{partition.Weighted(h, []float64{1, 5, 2}), partition.Even(h, 4)}
		if name == "vae_clip" {
			all = all[:1] // the others' cuts are the same in each of its frames
		}
		for _, cuts := range all {
			for _, rows := range cuts {
				sameRows(t, decodeRows(t, d, clip, h, w, rows), whole, rows, h)
			}
		}
	}
}

func TestAnyBandIsTheRowsOfTheWholeFrame(t *testing.T) {
	golden.Rounds(t, 25)                // of two bands each
	names := []string{"tiny7", "tiny5"} // tiny3 has the shapes of tiny5
	if testing.Short() {
		names = names[:1]
	}
	for _, name := range names {
		d := load(t, "testdata", "golden", name)
		rapid.Check(t, func(t *rapid.T) {
			h, w := rapid.IntRange(1, 40).Draw(t, "h"), rapid.IntRange(1, 3).Draw(t, "w")
			clip := random(d, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 3).Draw(t, "frames"), h, w)
			whole := decodeRows(t, d, clip, h, w, partition.Range{Lo: 0, Hi: h})
			for range 2 {
				rows := partition.Range{Lo: rapid.IntRange(0, h-1).Draw(t, "lo")}
				rows.Hi = rapid.IntRange(rows.Lo+1, h).Draw(t, "hi")
				sameRows(t, decodeRows(t, d, clip, h, w, rows), whole, rows, h)
			}
		})
	}
}

func TestBandsOutsideTheFrameAreRefused(t *testing.T) {
	d := load(t, "testdata", "golden", "tiny7")
	for _, r := range []partition.Range{{Lo: -1, Hi: 2}, {Lo: 2, Hi: 2}, {Lo: 3, Hi: 2},
		{Lo: 0, Hi: 5}} {
		if _, err := d.NewBand(4, 4, r); err == nil || !strings.Contains(err.Error(), fmt.Sprint(r.Lo)) {
			t.Errorf("rows %v of 4: %v", r, err)
		}
	}
}

// counting is a device that knows the most memory that was in use at once, apart from the weights.
type counting struct {
	compute.Device
	used, peak int
}

func (c *counting) Alloc(n int) (compute.Memory, error) {
	m, err := c.Device.Alloc(n)
	if err == nil {
		c.used += n
		c.peak = max(c.peak, c.used)
	}
	return m, err
}

func (c *counting) Free(m compute.Memory) {
	c.used -= m.Len()
	c.Device.Free(m)
}

// TestMemoryFollowsTheBand wants a quarter of the rows to take well below half of the memory, and
// no more for a longer clip.
func TestMemoryFollowsTheBand(t *testing.T) {
	if testing.Short() {
		t.Skip("computes alone: nothing for the race detector")
	}
	d := load(t, "testdata", "golden", "tiny7")
	c := &counting{Device: &compute.Meter{Like: d.dev}} // memory is that, without computing
	d.dev = c
	const h, w = 64, 2
	peak := func(frames int, rows partition.Range) int {
		c.peak = 0
		decodeRows(t, d, random(d, 1, frames, h, w), h, w, rows)
		if c.used != 0 {
			t.Fatalf("%d elements are still in use", c.used)
		}
		return c.peak
	}
	whole, band := peak(3, partition.Range{Lo: 0, Hi: h}), peak(3, partition.Range{Lo: 16, Hi: 32})
	if 2*band > whole {
		t.Errorf("a quarter of the rows takes %d elements, the whole %d", band, whole)
	}
	if long := peak(9, partition.Range{Lo: 0, Hi: h}); long != whole {
		t.Errorf("9 latent frames take %d elements, 3 take %d", long, whole)
	}
}

// TestCostFollowsTheBand compares what the planner counts.
func TestCostFollowsTheBand(t *testing.T) {
	d := load(t, "models", "demo")
	const h, w = 60, 104
	whole := d.Cost(h, w, partition.Range{Lo: 0, Hi: h})
	half := d.Cost(h, w, partition.Range{Lo: 0, Hi: h / 2})
	if !(half > whole/2 && half < 0.7*whole) {
		t.Errorf("half of the rows costs %.2f of the whole", half/whole)
	}
	if row := d.Cost(h, w, partition.Range{Lo: 30, Hi: 31}); !(row < half/2) {
		t.Errorf("one row costs %.2f of the whole", row/whole)
	}
	if work := d.cfg.DecodeWork() * h * w / 2 / whole; !(work > 0.9 && work < 1.1) {
		t.Errorf("the configuration alone gives %.2f of the multiplications", work)
	}
}

// limited opens a device with so much memory, in elements, apart from the weights.
func limited(t *testing.T, d *Decoder, elements int) *Decoder {
	t.Helper()
	dev, err := cpu.Open(cpu.Options{Threads: 2, MemoryBytes: 4 * int64(elements)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	tight := *d
	tight.dev = dev
	return &tight
}

func TestTooLittleMemoryMakesBands(t *testing.T) {
	if testing.Short() {
		t.Skip("computes alone: nothing for the race detector")
	}
	d := load(t, "testdata", "golden", "tiny7")
	c := &counting{Device: d.dev}
	d.dev = c
	const h, w = 48, 1
	all := partition.Range{Lo: 0, Hi: h}
	clip := random(d, 3, 4, h, w)
	want := decodeRows(t, d, clip, h, w, all)
	whole, seen := c.peak, []int{}
	for _, share := range []float64{1, 0.75, 0.5, 0.4, 0.35} {
		tight := limited(t, d, int(share*float64(whole)))
		s, err := tight.NewStream(h, w)
		if err != nil {
			t.Fatal(err)
		}
		var got [][]float32
		for _, z := range clip {
			frames, err := s.Next(z)
			if err != nil {
				t.Fatalf("%.2f of the memory: %v", share, err)
			}
			got = append(got, frames...)
		}
		sameRows(t, got, want, all, h)
		seen = append(seen, s.Bands())
		s.Free()
	}
	if seen[0] != 1 || seen[len(seen)-1] < 4 || !slices.IsSorted(seen) {
		t.Errorf("bands with ever less memory: %v", seen)
	}
	if _, err := func() ([][]float32, error) {
		s, err := limited(t, d, 1000).NewStream(h, w)
		if err != nil {
			return nil, err
		}
		defer s.Free()
		return s.Next(clip[0])
	}(); err == nil || !strings.Contains(err.Error(), "cannot decode a frame: cannot allocate") {
		t.Errorf("4000 bytes of memory: %v", err)
	}
}
