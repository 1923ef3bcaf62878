package vae

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
)

// groupsOf returns the groups of a random clip of frames of h x w.
func groupsOf(seed uint64, groups, each, h, w int) [][][]float32 {
	r, out := rand.New(rand.NewPCG(seed, 2)), make([][][]float32, groups)
	for i := range out {
		n := each
		if i == 0 {
			n = 1
		}
		for range n {
			f := make([]float32, h*w*colours)
			for j := range f {
				f[j] = 2*r.Float32() - 1
			}
			out[i] = append(out[i], f)
		}
	}
	return out
}

// latentsOf encodes groups with a stream and frees it.
func latentsOf(t fataler, s *EncodeStream, groups [][][]float32) (out []float32) {
	t.Helper()
	defer s.Free()
	for _, g := range groups {
		z, err := s.Next(g)
		if err != nil {
			t.Fatalf("%v", err)
		}
		out = append(out, z...)
	}
	return out
}

func sameBits(t fataler, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("value %d is %g, want %g", i, got[i], want[i])
		}
	}
}

// encoders are VAEs of both forms.
func encoders(t testing.TB) map[string]*Encoder {
	all := map[string]*Encoder{"tiny7": loadEncoder(t, "testdata", "golden", "tiny7")}
	for _, name := range []string{"residual", "residual_narrow"} {
		d := loadTwin(t, name)
		_, _, w := openDir(t, golden.Twin(t, name))
		e, err := LoadEncoder(d.dev, d.cfg, w)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = e
	}
	return all
}

// TestAnyBandsEncodeToTheSameBits cuts frames into any number of bands.
func TestAnyBandsEncodeToTheSameBits(t *testing.T) {
	golden.Rounds(t, 25) // for each VAE
	for name, e := range encoders(t) {
		if testing.Short() && name != "residual_narrow" {
			continue
		}
		scale := e.cfg.SpatialScale()
		rapid.Check(t, func(t *rapid.T) {
			rows := rapid.IntRange(2, 8).Draw(t, "rows")
			h, w := rows*scale, scale
			groups := groupsOf(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 3).Draw(t, "groups"),
				e.cfg.TemporalScale(), h, w)
			one, err := e.NewStream(h, w)
			if err != nil {
				t.Fatal(err)
			}
			many, err := e.NewStream(h, w)
			if err != nil {
				t.Fatal(err)
			}
			many.reset(rapid.IntRange(2, rows).Draw(t, "bands"))
			sameBits(t, latentsOf(t, many, groups), latentsOf(t, one, groups))
		})
	}
}

// TestEncodingInLittleMemoryMakesBands takes memory away until frames are encoded in bands, and
// until not even that helps.
func TestEncodingInLittleMemoryMakesBands(t *testing.T) {
	for name, e := range encoders(t) {
		c := &counting{Device: e.dev}
		e.dev = c
		scale := e.cfg.SpatialScale()
		h, w := 24*scale, scale
		groups := groupsOf(3, 3, e.cfg.TemporalScale(), h, w)
		stream := func(memory int) *EncodeStream {
			dev, err := cpu.Open(cpu.Options{Threads: 2, MemoryBytes: 4 * int64(memory)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { dev.Close() })
			tight := *e
			tight.dev = dev
			s, err := tight.NewStream(h, w)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}

		whole, err := e.NewStream(h, w)
		if err != nil {
			t.Fatal(err)
		}
		want, most := latentsOf(t, whole, groups), c.peak
		for _, share := range []float64{1, 0.7} {
			s := stream(int(share * float64(most)))
			sameBits(t, latentsOf(t, s, groups), want)
			if few := s.Bands() == 1; few != (share == 1) {
				t.Errorf("%s, %v of the memory: %d bands", name, share, s.Bands())
			}
		}

		s := stream(500)
		if _, err := s.Next(groups[0]); err == nil ||
			!strings.Contains(err.Error(), compute.ErrMemory.Error()) {
			t.Errorf("2000 bytes: %v", err)
		}
		s.Free()
	}
}
