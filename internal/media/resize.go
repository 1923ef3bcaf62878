package media

import "math"

// Filter is a kernel by which pictures are scaled, as Pillow has it.
type Filter struct {
	support float64 // the kernel is 0 from there on
	at      func(x float64) float64
}

// The filters: Lanczos, with which diffusers scales pictures for a VAE, and Bicubic, with which
// transformers scales them for CLIP.
var (
	Lanczos = Filter{3, func(x float64) float64 {
		if x < -3 || x >= 3 {
			return 0
		}
		return sinc(x) * sinc(x/3)
	}}
	// A cubic convolution with a = -1/2 (Keys 1981).
	Bicubic = Filter{2, func(x float64) float64 {
		const a = -0.5
		switch x = math.Abs(x); {
		case x < 1:
			return float64(float64(float64((a+2)*x)-(a+3))*x)*x + 1
		case x < 2:
			return (float64((float64((x-5)*x)+8)*x) - 4) * a
		}
		return 0
	}}
)

// sinc is sin(πx)/(πx).
func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// weightBits are the bits of fraction of a weight. Weights of eight-bit pictures are whole numbers,
// and so the result of a pass has the same bits everywhere: those of Pillow.
const weightBits = 32 - 8 - 2

// taps says which pixels of a row make one pixel of the result, and how much of each.
type taps struct {
	first   int // of the pixels
	weights []int32
}

// tapsOf returns the taps of n pixels made of `from`. Where the result is smaller, the kernel is as
// much wider, so that every pixel counts.
func (f Filter) tapsOf(from, n int) []taps {
	scale := float64(from) / float64(n)
	wide := max(scale, 1)
	support := f.support * wide

	all := make([]taps, n)
	for i := range all {
		centre := (float64(i) + 0.5) * scale
		lo := max(int(centre-support+0.5), 0)
		hi := min(int(centre+support+0.5), from)

		w, sum := make([]float64, hi-lo), 0.0
		for k := range w {
			w[k] = f.at((float64(k+lo) - centre + 0.5) * (1 / wide))
			sum += w[k]
		}

		all[i] = taps{lo, make([]int32, hi-lo)}
		for k, v := range w {
			all[i].weights[k] = int32(math.Trunc(v/sum*(1<<weightBits) + math.Copysign(0.5, v)))
		}
	}
	return all
}

// Resize scales a frame to w x h pixels, whatever its proportions, with the very values that
// Pillow 13's Image.resize gives for an RGB picture, which are rounded between the two passes. It
// goes across first, unless the picture loses more than twice as many rows as columns (measured:
// thousands of sizes, and no exception).
func (fr Frame) Resize(w, h int, f Filter) Frame {
	if lost := fr.H - h; lost > 0 && lost > 2*(fr.W-w) {
		fr = fr.down(h, f.tapsOf(fr.H, h))
	}
	if fr.W != w {
		fr = fr.across(w, f.tapsOf(fr.W, w))
	}
	if fr.H != h {
		fr = fr.down(h, f.tapsOf(fr.H, h))
	}
	return fr
}

// across scales the rows.
func (fr Frame) across(w int, by []taps) Frame {
	out := Frame{W: w, H: fr.H, RGB: make([]uint8, 3*w*fr.H)}
	for y := range fr.H {
		row := fr.RGB[3*y*fr.W : 3*(y+1)*fr.W]
		for x, t := range by {
			for c := range 3 {
				out.RGB[3*(y*w+x)+c] = t.of(row[3*t.first+c:], 3)
			}
		}
	}
	return out
}

// down scales the columns.
func (fr Frame) down(h int, by []taps) Frame {
	out := Frame{W: fr.W, H: h, RGB: make([]uint8, 3*fr.W*h)}
	step := 3 * fr.W
	for y, t := range by {
		for i := range step {
			out.RGB[y*step+i] = t.of(fr.RGB[t.first*step+i:], step)
		}
	}
	return out
}

// of returns the weighted sum of values that lie a step apart.
func (t taps) of(v []uint8, step int) uint8 {
	sum := int32(1) << (weightBits - 1)
	for k, w := range t.weights {
		sum += w * int32(v[k*step])
	}
	return uint8(min(max(sum>>weightBits, 0), 255)) //nolint:gosec // just bounded
}

// Cut returns the part of a frame from (x, y) on, w x h pixels.
func (fr Frame) Cut(x, y, w, h int) Frame {
	out := Frame{W: w, H: h, RGB: make([]uint8, 0, 3*w*h)}
	for i := range h {
		at := 3 * ((y+i)*fr.W + x)
		out.RGB = append(out.RGB, fr.RGB[at:at+3*w]...)
	}
	return out
}
