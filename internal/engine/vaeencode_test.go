package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/underrace"
)

// encodeClip encodes n frames of 24 x 16 and returns the latent [C, T, 3, 2].
func encodeClip(t testing.TB, f *frameEncoder, n int, fill func(i int, frame []float32)) []float32 {
	t.Helper()
	var frames [][]float32
	err := f.encode(t.Context(), 24, 16, n, func(i int, frame []float32) error {
		fill(i, frame)
		return nil
	}, func(i int, latent []float32) error {
		if i != len(frames) {
			t.Errorf("latent frame %d came as number %d", i, len(frames))
		}
		frames = append(frames, latent)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	const channels, places = 16, 6
	var out []float32
	for c := range channels {
		for _, z := range frames {
			out = append(out, z[c*places:(c+1)*places]...)
		}
	}
	return out
}

// TestFramesEncodeAsInTheReference encodes clips of several lengths, and pictures that zeros
// follow: what image-to-video gives the transformer beside the noise.
func TestFramesEncodeAsInTheReference(t *testing.T) {
	underrace.Skip(t, "one rank; the threads of its device are those of package cpu")
	f, err := engine(t, 2, "testdata", "golden", "tiny3").loadEncoder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g := golden.Open(t, "vae_condition")
	for _, n := range []int{1, 5, 9, 81} {
		clip := golden.Formula(n * 24 * 16 * 3)
		got := encodeClip(t, f, n, func(i int, frame []float32) { copy(frame, clip[i*len(frame):]) })
		golden.Near(t, fmt.Sprintf("a clip of %d frames", n), got, g.Floats(fmt.Sprintf("clip.%d", n)),
			1e-5)

		got = encodeClip(t, f, n, func(i int, frame []float32) {
			clear(frame)
			if i == 0 {
				copy(frame, clip)
			}
		})
		golden.Near(t, fmt.Sprintf("a picture and zeros, %d frames", n), got,
			g.Floats(fmt.Sprintf("picture.%d", n)), 1e-5)
	}
}

// TestEncodingStops wants encoding to end where its context does, with the cause of that, and with
// the errors of what it is given.
func TestEncodingStops(t *testing.T) {
	f, err := engine(t, 1, "testdata", "golden", "tiny3").loadEncoder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	over, taken := errors.New("enough"), 0
	blank := func(int, []float32) error { return nil }
	err = f.encode(ctx, 24, 16, 81, blank, func(int, []float32) error {
		if taken++; taken == 3 {
			cancel(over)
		}
		return nil
	})
	if !errors.Is(err, over) || taken != 3 {
		t.Errorf("after %d latent frames: %v", taken, err)
	}

	fail := func(int, []float32) error { return over }
	if err := f.encode(t.Context(), 24, 16, 5, fail, blank); !errors.Is(err, over) {
		t.Errorf("frames that cannot be read: %v", err)
	}
	if err := f.encode(t.Context(), 24, 16, 5, blank, fail); !errors.Is(err, over) {
		t.Errorf("latents that cannot be kept: %v", err)
	}
	if err := f.encode(t.Context(), 24, 16, 7, blank, blank); err == nil ||
		!strings.Contains(err.Error(), "cannot encode 7 frames; allowed: 1 and any number of 4") {
		t.Errorf("7 frames: %v", err)
	}

	_, bad := errors.AsType[*tensor.NotFiniteError](f.encode(t.Context(), 24, 16, 1,
		func(_ int, frame []float32) error {
			frame[7] = float32(math.NaN())
			return nil
		}, blank))
	if !bad {
		t.Error("a frame that is not finite was encoded")
	}
}
