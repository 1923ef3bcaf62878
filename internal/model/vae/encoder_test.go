package vae

import (
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
)

func loadEncoder(t testing.TB, path ...string) *Encoder {
	t.Helper()
	dev, cfg, w := open(t, path...)
	e, err := LoadEncoder(dev, cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// encode runs frames [T, H, W, 3] and returns the mean [C, T', h, w], not normalised.
func encode(t testing.TB, e *Encoder, x []float32, h, w int) []float32 {
	t.Helper()
	s, err := e.NewStream(h, w)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	var latents [][]float32
	for size := h * w * 3; len(x) > 0; {
		var group [][]float32
		for range s.Group() {
			group, x = append(group, x[:size]), x[size:]
		}
		z, err := s.Next(group)
		if err != nil {
			t.Fatal(err)
		}
		latents = append(latents, z)
	}
	var out []float32
	n := len(latents[0]) / e.cfg.ZDim
	for c := range e.cfg.ZDim {
		for _, z := range latents {
			for _, v := range z[c*n : (c+1)*n] {
				out = append(out, v*float32(e.cfg.LatentsStd[c])+float32(e.cfg.LatentsMean[c]))
			}
		}
	}
	return out
}

func TestEncodeEqualsTheReference(t *testing.T) {
	e := loadEncoder(t, "models", "demo")
	names := []string{"vae_odd", "vae_image", "vae_clip"}
	if testing.Short() {
		names = names[:1]
	}
	for _, name := range names {
		g := golden.Open(t, name)
		shape := g.Tensor("video").Shape // [1, 3, T, H, W]
		got := encode(t, e, channelsLast(g.Floats("video")), shape[3], shape[4])
		golden.Near(t, name, got, g.Floats("mean"), 1e-5)
	}
}

// TestEncodingALongerClipTakesNoMoreMemory also wants a clip's beginning to have the same bits
// whatever follows.
func TestEncodingALongerClipTakesNoMoreMemory(t *testing.T) {
	e := loadEncoder(t, "testdata", "golden", "tiny7")
	c := &counting{Device: e.dev}
	e.dev = c
	const h, w = 24, 16
	clip := make([]float32, 25*h*w*3)
	for i := range clip {
		clip[i] = float32(math.Sin(float64(i)))
	}
	short := encode(t, e, clip[:9*h*w*3], h, w)
	peak := c.peak
	long := encode(t, e, clip, h, w)
	if c.used != 0 || c.peak != peak {
		t.Errorf("9 frames take %d elements, 25 take %d; %d are left", peak, c.peak, c.used)
	}
	n := (h / 8) * (w / 8)
	for ch := range e.cfg.ZDim {
		for i := range 3 * n {
			if got, want := long[ch*7*n+i], short[ch*3*n+i]; got != want {
				t.Fatalf("channel %d, value %d: %g in the long clip, %g in the short one", ch, i, got, want)
			}
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	e := loadEncoder(t, "testdata", "golden", "tiny7")
	for _, size := range [][2]int{{0, 8}, {8, 12}, {-8, 8}} {
		if _, err := e.NewStream(size[0], size[1]); err == nil ||
			!strings.Contains(err.Error(), "allowed: multiples of 8") {
			t.Errorf("frames of %v: %v", size, err)
		}
	}
	s, err := e.NewStream(8, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	frame := make([]float32, 8*16*3)
	for want, group := range map[string][][]float32{
		"2 frames at once; 1 are next":  {frame, frame},
		"a frame of 383 values as 8 x ": {frame[1:]},
	} {
		if _, err := s.Next(group); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if _, err := s.Next([][]float32{frame}); err != nil || s.Group() != 4 {
		t.Errorf("%v; %d frames are next", err, s.Group())
	}
}

// TestHalvesAreLoadedApart wants each half to pack none of the other's weights, and an error that
// names its own where it is missing.
func TestHalvesAreLoadedApart(t *testing.T) {
	dev, cfg, w := open(t, "testdata", "golden", "tiny7")
	c := &packing{Device: dev}
	if _, err := LoadEncoder(c, cfg, w); err != nil {
		t.Fatal(err)
	}
	encoder := c.convs
	_, _, w = open(t, "testdata", "golden", "tiny7")
	if _, err := Load(c, cfg, w); err != nil {
		t.Fatal(err)
	}
	if decoder := c.convs - encoder; encoder != 27 || decoder != 35 {
		t.Errorf("the encoder packs %d convolutions, the decoder %d", encoder, decoder)
	}
}

// packing counts the convolutions that a device packs.
type packing struct {
	compute.Device
	convs int
}

func (p *packing) PackConv(w, bias []float32, s compute.ConvShape) (compute.Conv, error) {
	p.convs++
	return p.Device.PackConv(w, bias, s)
}
