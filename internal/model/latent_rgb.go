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

// wan22RGB is likewise for the VAE of Wan 2.2's TI2V-5B (class Wan22 there).
var wan22RGB = LatentRGB{Bias: [3]float32{0.0317, -0.0878, -0.1388}, Factors: [][3]float32{
	{0.0119, 0.0103, 0.0046}, {-0.1062, -0.0504, 0.0165}, {0.0140, 0.0409, 0.0491},
	{-0.0813, -0.0677, 0.0607}, {0.0656, 0.0851, 0.0808}, {0.0264, 0.0463, 0.0912},
	{0.0295, 0.0326, 0.0590}, {-0.0244, -0.0270, 0.0025}, {0.0443, -0.0102, 0.0288},
	{-0.0465, -0.0090, -0.0205}, {0.0359, 0.0236, 0.0082}, {-0.0776, 0.0854, 0.1048},
	{0.0564, 0.0264, 0.0561}, {0.0006, 0.0594, 0.0418}, {-0.0319, -0.0542, -0.0637},
	{-0.0268, 0.0024, 0.0260}, {0.0539, 0.0265, 0.0358}, {-0.0359, -0.0312, -0.0287},
	{-0.0285, -0.1032, -0.1237}, {0.1041, 0.0537, 0.0622}, {-0.0086, -0.0374, -0.0051},
	{0.0390, 0.0670, 0.2863}, {0.0069, 0.0144, 0.0082}, {0.0006, -0.0167, 0.0079},
	{0.0313, -0.0574, -0.0232}, {-0.1454, -0.0902, -0.0481}, {0.0714, 0.0827, 0.0447},
	{-0.0304, -0.0574, -0.0196}, {0.0401, 0.0384, 0.0204}, {-0.0758, -0.0297, -0.0014},
	{0.0568, 0.1307, 0.1372}, {-0.0055, -0.0310, -0.0380}, {0.0239, -0.0305, 0.0325},
	{-0.0663, -0.0673, -0.0140}, {-0.0416, -0.0047, -0.0023}, {0.0166, 0.0112, -0.0093},
	{-0.0211, 0.0011, 0.0331}, {0.1833, 0.1466, 0.2250}, {-0.0368, 0.0370, 0.0295},
	{-0.3441, -0.3543, -0.2008}, {-0.0479, -0.0489, -0.0420}, {-0.0660, -0.0153, 0.0800},
	{-0.0101, 0.0068, 0.0156}, {-0.0690, -0.0452, -0.0927}, {-0.0145, 0.0041, 0.0015},
	{0.0421, 0.0451, 0.0373}, {0.0504, -0.0483, -0.0356}, {-0.0837, 0.0168, 0.0055},
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
// 2.1's, and one of 48 for Wan 2.2's.
func (l *LatentRGB) fit(channels int) error {
	// Previews of other models need rows in longtake.json; without, they have none.

	// Rows for another number of channels cannot be meant for this model.
	switch n := len(l.Factors); {
	case n == 0 && channels == len(wan21RGB.Factors):
		*l = wan21RGB
	case n == 0 && channels == len(wan22RGB.Factors):
		*l = wan22RGB
	case n != 0 && n != channels:
		return fmt.Errorf("longtake.json: latent_rgb has %d rows; allowed: %d, one for each channel", n,
			channels)
	}
	return nil
}
