package vae

import (
	"errors"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
)

func load(t testing.TB, path ...string) *Decoder {
	t.Helper()
	dev, cfg, w := open(t, path...)
	d, err := Load(dev, cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// open returns a device, and the VAE of a model folder.
func open(t testing.TB, path ...string) (compute.Device, model.VAEConfig, *model.Weights) {
	t.Helper()
	return openDir(t, golden.Root(path...))
}

func openDir(t testing.TB, dir string) (compute.Device, model.VAEConfig, *model.Weights) {
	t.Helper()
	f, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	dev, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	w, err := f.Weights("vae")
	if err != nil {
		t.Fatal(err)
	}
	return dev, f.VAE, w
}

// latentFrames cuts a latent [C, T, n], not normalised, into normalised frames [C, n].
func latentFrames(d *Decoder, z []float32, frames, n int) [][]float32 {
	out := make([][]float32, frames)
	for i := range out {
		for c := range d.cfg.ZDim {
			at := (c*frames + i) * n
			for _, v := range z[at : at+n] {
				out[i] = append(out[i],
					(v-float32(d.cfg.LatentsMean[c]))/float32(d.cfg.LatentsStd[c]))
			}
		}
	}
	return out
}

// decode runs a whole latent [C, T, h, w], not normalised, and returns frames [T', H, W, 3].
func decode(t testing.TB, d *Decoder, z []float32, frames, h, w int) []float32 {
	t.Helper()
	s, err := d.NewStream(h, w)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	var out []float32
	for i, frame := range latentFrames(d, z, frames, h*w) {
		group, err := s.Next(frame)
		if err != nil {
			t.Fatal(err)
		}
		if want := 4; i > 0 && len(group) != want || i == 0 && len(group) != 1 {
			t.Fatalf("latent frame %d gave %d frames", i, len(group))
		}
		out = append(out, slices.Concat(group...)...)
	}
	return out
}

func TestDecodeEqualsTheReference(t *testing.T) {
	d := load(t, "models", "demo")
	names := []string{"vae_odd", "vae_image", "vae_clip"}
	if testing.Short() {
		names = names[:1]
	}
	for _, name := range names {
		g := golden.Open(t, name)
		shape := g.Tensor("latent").Shape // [1, C, T, h, w]
		got := decode(t, d, g.Floats("latent"), shape[2], shape[3], shape[4])
		golden.Near(t, name, got, channelsLast(g.Floats("decoded")), 1e-4)
	}
}

// channelsLast turns [3, T, H, W] into [T, H, W, 3].
func channelsLast(x []float32) []float32 {
	n := len(x) / 3
	out := make([]float32, len(x))
	for c := range 3 {
		for i := range n {
			out[3*i+c] = x[c*n+i]
		}
	}
	return out
}

func TestAStreamStopsBetweenLayers(t *testing.T) {
	d := load(t, "testdata", "golden", "tiny7")
	s, err := d.NewStream(2, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	over, asked := errors.New("enough"), 0
	s.StopWhen(func() error {
		if asked++; asked > 20 {
			return over
		}
		return nil
	})
	if _, err := s.Next(make([]float32, d.cfg.ZDim*4)); !errors.Is(err, over) || asked != 21 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func TestStreamRefusesAWrongSize(t *testing.T) {
	d := load(t, "testdata", "golden", "tiny7")
	if _, err := d.NewStream(0, 4); err == nil {
		t.Error("a latent of height 0 gave no error")
	}
	s, err := d.NewStream(2, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	if _, err := s.Next(make([]float32, 7)); err == nil {
		t.Error("a latent of 7 values gave no error")
	}
}
