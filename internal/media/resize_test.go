package media

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/golden"
)

// TestResizingEqualsPillow wants every byte to be Pillow's, where pictures shrink and grow.
func TestResizingEqualsPillow(t *testing.T) {
	g := golden.Open(t, "pictures")
	img, _ := golden.Picture(t, 97, 61, 1)
	for name, f := range map[string]Filter{"lanczos": Lanczos, "bicubic": Bicubic} {
		for _, size := range [][2]int{{13, 9}, {31, 47}, {92, 12}, {120, 20}} {
			got := FrameOf(img).Resize(size[0], size[1], f)
			want := g.Tensor(fmt.Sprintf("%s.%d.%d", name, size[0], size[1]))
			if got.W != size[0] || got.H != size[1] || !bytes.Equal(got.RGB, want.Data) {
				t.Errorf("%s, %v: other bytes than Pillow's", name, size)
			}
		}
	}
}

// TestFitCutsAndScales wants a picture of the clip's proportions whole, and of others the middle.
func TestFitCutsAndScales(t *testing.T) {
	img, _ := golden.Picture(t, 90, 60, 2)
	whole := FrameOf(img)
	for _, c := range []struct{ w, h, x, y, cutW, cutH int }{
		{90, 60, 0, 0, 90, 60}, {45, 30, 0, 0, 90, 60}, {20, 20, 15, 0, 60, 60}, {90, 30, 0, 15, 90, 30},
	} {
		want := whole.Cut(c.x, c.y, c.cutW, c.cutH).Resize(c.w, c.h, Lanczos)
		if got := Fit(img, c.w, c.h); !bytes.Equal(got.RGB, want.RGB) {
			t.Errorf("%d x %d: another part of the picture", c.w, c.h)
		}
	}
}
