//go:build cuda

package cuda

import (
	"errors"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/umt5"
)

// encode embeds the first prompt of the goldens.
func encode(t testing.TB, f *model.Folder, dev compute.Device, dt compute.DType) []float32 {
	t.Helper()
	return encodeWith(t, umt5.Load, f, dev, dt)
}

// encodeWith is encode with a text encoder that load has made.
func encodeWith(t testing.TB, load func(compute.Device, model.TextEncoderConfig, *model.Weights,
	compute.DType) (*umt5.Encoder, error), f *model.Folder, dev compute.Device,
	dt compute.DType) []float32 {
	t.Helper()
	var ids []int32
	for _, id := range golden.Open(t, "umt5").Ints("ids.0") {
		ids = append(ids, int32(id))
	}
	e, err := load(dev, f.TextEncoder, weights(t, f, "text_encoder"), dt)
	if err != nil {
		t.Fatal(err)
	}
	end, err := reserve(dev, e.Bytes([][]int32{ids}))
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Encode(t.Context(), [][]int32{ids})
	if err := errors.Join(err, end()); err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func TestTextEncoderAgreesWithTheCPU(t *testing.T) {
	f := demo(t)
	for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
		want := encode(t, f, openCPU(t), dt)
		eachProduct(t, dt, func(t *testing.T) {
			gpu := openWith(t, Options{SlabBytes: 1, CopyBytes: 1000}) // what was not reserved takes a slab
			golden.Near(t, "embeddings", encode(t, f, gpu, dt), want, bound(dt))
		})
	}
}

// TestAStreamedTextEncoder holds one whose layers come and go to the bits of one that stays, in the
// memory that Bytes promises: that of two layers, whatever the model's size.
func TestAStreamedTextEncoder(t *testing.T) {
	f := demo(t)
	for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
		eachProduct(t, dt, func(t *testing.T) {
			want := encode(t, f, openSlabs(t), dt)
			gpu := openWith(t, Options{SlabBytes: 1, CopyBytes: 1000})
			if !slices.Equal(encodeWith(t, umt5.Stream, f, gpu, dt), want) {
				t.Error("the embeddings are others than those of a text encoder that stays")
			}
		})
	}
	if _, err := umt5.Stream(openCPU(t), f.TextEncoder, weights(t, f, "text_encoder"),
		compute.FP32); err == nil {
		t.Error("a device that cannot drop weights streams them")
	}
}
