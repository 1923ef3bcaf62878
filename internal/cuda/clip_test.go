//go:build cuda

package cuda

import (
	"errors"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/clip"
)

// look returns the embeddings of a picture.
func look(t testing.TB, f *model.Folder, dev compute.Device) []float32 {
	t.Helper()
	e, err := clip.Load(dev, f.ImageEncoder, weights(t, f, model.ImageEncoder))
	if err != nil {
		t.Fatal(err)
	}
	end, err := reserve(dev, clip.Bytes(f.ImageEncoder))
	if err != nil {
		t.Fatal(err)
	}
	img, _ := golden.Picture(t, 60, 50, 1)
	out, err := e.Encode(clip.Pixels(media.FrameOf(img), f.ImageProcessor))
	if err := errors.Join(err, end()); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestImageEncoderAgreesWithTheCPU(t *testing.T) {
	f, err := model.Open(golden.Twin(t, "i2v_clip"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	want := look(t, f, openCPU(t))
	eachProduct(t, compute.FP32, func(t *testing.T) {
		golden.Near(t, "embeddings", look(t, f, openWith(t, Options{SlabBytes: 1, CopyBytes: 1000})),
			want, boundFP32)
	})
}
