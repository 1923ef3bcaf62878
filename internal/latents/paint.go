package latents

import (
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

// A latent pixel becomes a square of zoomMin to zoomMax pixels a side: as many as make the longer
// side of the picture at least sideMin pixels.
const (
	sideMin = 96
	zoomMin = 2
	zoomMax = 16
)

// Paint makes a picture of the first frame of a latent [C, T, H, W], whose T, H and W are those of
// g. The colours are a linear map of the channels, as ComfyUI's "latent2rgb" previews are: a rough
// but immediate look at what the VAE would decode. It fails on values that are not finite.
func Paint(latent []float32, g partition.Grid, colours model.LatentRGB) (media.Frame, error) {
	plane := g.H * g.W
	small, rgb := make([]float32, 3*plane), make([]uint8, 3*plane)
	for i := range plane {
		copy(small[3*i:], colours.Bias[:])
		for c, factors := range colours.Factors {
			v := latent[c*g.T*plane+i]
			for k, f := range factors {
				small[3*i+k] += float32(f * v)
			}
		}
	}
	if err := media.ToRGB(rgb, small); err != nil {
		return media.Frame{}, err
	}

	longer := max(g.H, g.W)
	zoom := min(max((sideMin+longer-1)/longer, zoomMin), zoomMax)
	return enlarge(rgb, g.W, g.H, zoom), nil
}

// enlarge turns each pixel of [h, w, 3] into a square of zoom pixels a side.
func enlarge(rgb []uint8, w, h, zoom int) media.Frame {
	f := media.Frame{W: w * zoom, H: h * zoom, RGB: make([]uint8, 0, 3*w*h*zoom*zoom)}
	for y := range f.H {
		for x := range f.W {
			at := 3 * (y/zoom*w + x/zoom)
			f.RGB = append(f.RGB, rgb[at:at+3]...)
		}
	}
	return f
}
