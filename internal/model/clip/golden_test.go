package clip

import (
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
)

// TestPicturesAreSeenAsInTheReference compares pixels and embeddings with CLIPImageProcessor and
// CLIPVisionModel, for pictures that are wide, tall, and smaller than what the model sees.
func TestPicturesAreSeenAsInTheReference(t *testing.T) {
	f, err := model.Open(golden.Twin(t, "i2v_clip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dev, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	w, err := f.Weights(model.ImageEncoder)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Load(dev, f.ImageEncoder, w)
	if err != nil {
		t.Fatal(err)
	}

	g := golden.Open(t, "pictures")
	for i, size := range [][2]int{{97, 61}, {40, 75}, {20, 30}} {
		img, _ := golden.Picture(t, size[0], size[1], i+1)
		pixels := Pixels(media.FrameOf(img), f.ImageProcessor)
		want := g.Tensor(fmt.Sprintf("pixels.%d", i)) // [1, 3, size, size]
		n := f.ImageEncoder.ImageSize
		ours := make([]float32, 0, len(pixels))
		for c := range 3 {
			for k := range n * n {
				ours = append(ours, pixels[3*k+c])
			}
		}
		values, err := want.Float32()
		if err != nil {
			t.Fatal(err)
		}
		golden.Near(t, "pixels", ours, values, 1e-7)

		embeds, err := e.On(dev).Encode(pixels)
		if err != nil {
			t.Fatal(err)
		}
		golden.Near(t, "embeddings", embeds, g.Floats(fmt.Sprintf("embeds.%d", i)), 2e-6)
	}
	if _, err := e.Encode(make([]float32, 12)); err == nil {
		t.Error("a picture of another size is taken")
	}
}
