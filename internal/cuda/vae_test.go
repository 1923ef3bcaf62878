//go:build cuda

package cuda

import (
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/vae"
)

// TestAResidualVAEEqualsTheReference decodes and encodes two latent frames with the twin of Wan
// 2.2's VAE.
func TestAResidualVAEEqualsTheReference(t *testing.T) {
	f, err := model.Open(golden.Twin(t, "residual"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dev, g := openSlabs(t), golden.Open(t, "vae_residual")
	const frames, h, w, scale = 2, 3, 1, 16

	decoder, err := vae.Load(dev, f.VAE, weights(t, f, "vae"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := decoder.NewStream(h, w)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	z := golden.Formula(f.VAE.ZDim * frames * h * w) // [C, T, h, w]
	var some []float32                               // every fifth value is in the file
	at := 0
	for i := range frames {
		var latent []float32
		for c := range f.VAE.ZDim {
			from := (c*frames + i) * h * w
			latent = append(latent, z[from:from+h*w]...)
		}
		group, err := s.Next(latent)
		if err != nil {
			t.Fatal(err)
		}
		for _, frame := range group {
			for _, v := range frame {
				if at++; (at-1)%5 == 0 {
					some = append(some, v)
				}
			}
		}
	}
	golden.Near(t, "decoded", some, g.Floats("decoded.2.3.1"), boundFP32)

	encoder, err := vae.LoadEncoder(dev, f.VAE, weights(t, f, "vae"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := encoder.NewStream(h*scale, w*scale)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Free()
	clip, size := golden.Formula(5*h*scale*w*scale*3), h*scale*w*scale*3
	got := make([]float32, f.VAE.ZDim*frames*h*w)
	for i := range frames {
		var group [][]float32
		for range e.Group() {
			group, clip = append(group, clip[:size]), clip[size:]
		}
		latent, err := e.Next(group)
		if err != nil {
			t.Fatal(err)
		}
		for c := range f.VAE.ZDim {
			copy(got[(c*frames+i)*h*w:], latent[c*h*w:(c+1)*h*w])
		}
	}
	golden.Near(t, "encoded", got, g.Floats("latent.2.3.1"), boundFP32)
}
