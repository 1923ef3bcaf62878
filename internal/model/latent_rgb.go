package model

import "fmt"

// LatentRGB maps a latent to a rough picture, without the VAE: a pixel's red, green and blue, in
// -1..1, are its normalised channels times Factors, plus Bias. The picture is as large as the
// latent, so it costs next to nothing, and is good enough for previews.
type LatentRGB struct {
	Factors [][3]float32 // [channels]; none: the model has no such picture
	Bias    [3]float32   // red, green, blue
}

// wan21RGB is for the VAE of Wan 2.1, as ComfyUI publishes it (latent_rgb_factors and its bias, in
// class Wan21 of comfy/latent_formats.py).
var wan21RGB = LatentRGB{Bias: [3]float32{-0.1835, -0.0868, -0.3360}, Factors: [][3]float32{
	{-0.1299, -0.1692, 0.2932}, {0.0671, 0.0406, 0.0442}, {0.3568, 0.2548, 0.1747},
	{0.0372, 0.2344, 0.1420}, {0.0313, 0.0189, -0.0328}, {0.0296, -0.0956, -0.0665},
	{-0.3477, -0.4059, -0.2925}, {0.0166, 0.1902, 0.1975}, {-0.0412, 0.0267, -0.1364},
	{-0.1293, 0.0740, 0.1636}, {0.0680, 0.3019, 0.1128}, {0.0032, 0.0581, 0.0639},
	{-0.1251, 0.0927, 0.1699}, {0.0060, -0.0633, 0.0005}, {0.3477, 0.2275, 0.2950},
	{0.1984, 0.0913, 0.1861},
}}

// latentRGB reads `latent_rgb`, a row for each channel, and `latent_rgb_bias`. Whether there are as
// many rows as channels is checked by fit, once the channels are known.
func (s *settings) latentRGB() LatentRGB {
	// The bias is optional, and means nothing without the rows.
	const allowed = "rows of three numbers, each from -16 to 16"
	var rows [][]float32
	bias := []float32{0, 0, 0}
	s.take("latent_rgb", &rows, allowed)
	if s.take("latent_rgb_bias", &bias, allowed) && rows == nil {
		s.fail("latent_rgb", allowed)
	}

	// Without a bias, a latent of zeros is grey.
	var l LatentRGB
	if !threeNumbers(bias) {
		s.fail("latent_rgb_bias", allowed)
		return LatentRGB{}
	}

	// A short row is filled up, so that the error is one about numbers and not a panic.
	good := true
	for _, r := range rows {
		good = good && threeNumbers(r)
		l.Factors = append(l.Factors, [3]float32(append(r, 0, 0, 0)[:3]))
	}

	if !good || rows != nil && len(rows) == 0 {
		s.fail("latent_rgb", allowed)
		return LatentRGB{}
	}
	l.Bias = [3]float32(bias)
	return l
}

// threeNumbers reports whether a row has three numbers of a size that pictures can have.
func threeNumbers(row []float32) bool {
	const limit = 16
	good := len(row) == 3
	for _, v := range row {
		good = good && v >= -limit && v <= limit
	}
	return good
}

// fit requires a row for each channel. Without any rows, a latent of 16 channels is taken for Wan
// 2.1's.
func (l *LatentRGB) fit(channels int) error {
	// Previews of other models need rows in longtake.json; without, they have none.

	// Rows for another number of channels cannot be meant for this model.
	switch n := len(l.Factors); {
	case n == 0 && channels == len(wan21RGB.Factors):
		*l = wan21RGB
	case n != 0 && n != channels:
		return fmt.Errorf("longtake.json: latent_rgb has %d rows; allowed: %d, one for each channel", n,
			channels)
	}
	return nil
}
