package clip

import (
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
)

// Pixels prepares a picture as CLIPImageProcessor does with Pillow: its shorter side is scaled to
// Edge by a bicubic filter, the middle Crop x Crop pixels are cut out, and each channel is
// normalised. The result is [Crop, Crop, 3].
func Pixels(fr media.Frame, c model.ImageProcessorConfig) []float32 {
	w, h := c.Edge, c.Edge
	if fr.W <= fr.H {
		h = int(float64(c.Edge*fr.H) / float64(fr.W))
	} else {
		w = int(float64(c.Edge*fr.W) / float64(fr.H))
	}
	cut := fr.Resize(w, h, media.Bicubic).Cut((w-c.Crop)/2, (h-c.Crop)/2, c.Crop, c.Crop)

	out := make([]float32, len(cut.RGB))
	for i, v := range cut.RGB {
		// float64 for the factor, float32 for the rest: as numpy rounds.
		x := float32(float64(v) * c.Factor)
		out[i] = (x - float32(c.Mean[i%3])) / float32(c.Std[i%3])
	}
	return out
}
