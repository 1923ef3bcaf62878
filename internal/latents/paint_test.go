package latents

import (
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

func TestPaint(t *testing.T) {
	g := partition.Grid{T: 2, H: 1, W: 2, PT: 1, PH: 1, PW: 1}
	l := model.LatentRGB{Factors: [][3]float32{{1, 0, 0}, {0, 0, 2}}, Bias: [3]float32{-1, -1, -1}}
	got, err := Paint([]float32{0, 1, 2, 2, 0, 0.5, 9, 9}, g, l)
	if err != nil {
		t.Fatal(err)
	}
	if got.W != 2*zoomMax || got.H != zoomMax {
		t.Fatalf("a picture of %dx%d", got.W, got.H)
	}
	f := func(x int, want ...uint8) {
		t.Helper()
		for y := range zoomMax {
			at := 3 * (y*got.W + x)
			if p := got.RGB[at : at+3]; fmt.Sprint(p) != fmt.Sprint(want) {
				t.Fatalf("pixel %d, %d is %v, want %v", x, y, p, want)
			}
		}
	}
	f(0, 0, 0, 0)
	f(zoomMax-1, 0, 0, 0)
	f(zoomMax, 128, 0, 128)
	f(2*zoomMax-1, 128, 0, 128)
}

// TestTheDemosPreviewLooksLikeItsClip paints the final latents of a golden and compares with its
// frames: each latent pixel with the average of what it stands for.
func TestTheDemosPreviewLooksLikeItsClip(t *testing.T) {
	m, err := model.Open(golden.Root("models", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	file := golden.Open(t, "e2e_short")
	var width, height int
	file.Meta("width", &width)
	file.Meta("height", &height)
	shape := file.Tensor("latents").Shape // [1, C, T, H, W]
	g := partition.Grid{T: shape[2], H: shape[3], W: shape[4], PT: 1, PH: 2, PW: 2}
	clip := file.Tensor("frames").Data
	var got, want []byte
	latent := file.Floats("latents")
	for i := range g.T {
		f, err := Paint(latent[i*g.H*g.W:], g, m.Defaults.LatentRGB)
		if err != nil {
			t.Fatal(err)
		}
		zoom := f.W / g.W
		for n := range g.H * g.W {
			x, y := n%g.W, n/g.W
			at := 3 * (y*zoom*f.W + x*zoom)
			got = append(got, f.RGB[at:at+3]...)
			want = append(want, average(clip, width, height, i, x, y)...)
		}
	}
	if p := golden.PSNR(got, want); !(p >= 15) {
		t.Errorf("PSNR %.1f dB is below 15", p)
	} else {
		t.Logf("PSNR %.1f dB", p)
	}
}

// average is the mean colour of the 8x8 pixels and the frames that a latent pixel stands for.
func average(clip []byte, width, height, latentFrame, x, y int) []byte {
	from, to := 4*latentFrame-3, 4*latentFrame+1
	var sum [3]int
	n := 0
	for f := max(from, 0); f < to; f++ {
		for i := range 64 {
			at := 3 * ((f*height+8*y+i/8)*width + 8*x + i%8)
			for c := range sum {
				sum[c] += int(clip[at+c])
			}
			n++
		}
	}
	return []byte{byte(sum[0] / n), byte(sum[1] / n), byte(sum[2] / n)}
}
