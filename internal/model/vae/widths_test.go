package vae

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/golden"
)

// TestAnyWidthEqualsTheReference has VAEs of odd widths, among them that of diffusers' own tests.
func TestAnyWidthEqualsTheReference(t *testing.T) {
	for _, name := range []string{"vae_three", "vae_mixed"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "model")
			if err := os.CopyFS(dir, os.DirFS(golden.Root("testdata", "golden", "tiny3"))); err != nil {
				t.Fatal(err)
			}
			part := filepath.Join(dir, "vae")
			if err := os.RemoveAll(part); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(part, os.DirFS(golden.Root("testdata", "golden", name))); err != nil {
				t.Fatal(err)
			}
			g := golden.Open(t, name+"_io")

			dev, cfg, w := openDir(t, dir)
			e, err := LoadEncoder(dev, cfg, w)
			if err != nil {
				t.Fatal(err)
			}
			video := g.Tensor("video").Shape
			mean := encode(t, e, channelsLast(g.Floats("video")), video[3], video[4])
			golden.Near(t, name, mean, g.Floats("mean"), 1e-5)

			dev, cfg, w = openDir(t, dir)
			d, err := Load(dev, cfg, w)
			if err != nil {
				t.Fatal(err)
			}
			got := decoded(t, d, g.Floats("latent"), g.Tensor("latent").Shape)
			golden.Near(t, name, got, channelsLast(g.Floats("decoded")), 1e-5)
		})
	}
}

// decoded decodes a normalised latent [1, C, T, h, w] into frames [T', H, W, 3].
func decoded(t *testing.T, d *Decoder, z []float32, shape []int) []float32 {
	t.Helper()
	s, err := d.NewStream(shape[3], shape[4])
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	n, all := shape[3]*shape[4], [][]float32{}
	for i := range shape[2] {
		var frame []float32
		for c := range shape[1] {
			at := (c*shape[2] + i) * n
			frame = append(frame, z[at:at+n]...)
		}
		group, err := s.Next(frame)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, group...)
	}
	return slices.Concat(all...)
}
