package perf

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// Times of whole passes are fitted, not those of kernels: what lies between kernels counts, and how
// much of a weight is still in a cache when the next pass comes depends on all of them. The parts
// are those that a prediction adds up, so that an error of the sum is one of the parts.

// TimedPass is a pass through a transformer that was timed on a device, for one rank alone.
type TimedPass struct {
	Layers, Heads, HeadDim, FFNDim, Tokens int
	Seconds                                float64
}

// TimedDecoding is latent frames that were decoded on a device.
type TimedDecoding struct {
	Work    float64 // floating-point operations of a latent frame; see job.Model.DecodeWork
	Bytes   float64 // that the decoder holds for one; see job.Memory.DecodeBand
	Latents int     // frames
	Seconds float64
}

// Fit returns what a device reaches in passes and decodings, and the relative standard error of
// that against the single ones. peak is in operations per second, bandwidth in bytes per second.
// Operations take the time of the peak at least, and bytes that of the bandwidth. It is an error if
// there are fewer figures than what they are to tell.
func Fit(peak, bandwidth float64, passes []TimedPass, decodings []TimedDecoding) (e Efficiency,
	relative float64, err error) {
	how, err := FindProfile(Longtake)
	if err != nil {
		return e, 0, err
	}

	// What a pass consists of: operations of linear layers and of attention, scores, bytes,
	// weights, layers.
	var rows []fitRow
	for _, p := range passes {
		l, n, d := float64(p.Layers), float64(p.Tokens), float64(p.Heads*p.HeadDim)
		rows = append(rows, fitRow{p.Seconds, []float64{
			l * (12*n*d*d + 4*n*d*float64(p.FFNDim)), 4 * l * n * n * d, l * n * n * float64(p.Heads),
			how.Traffic * l * n * d, l * (6*d*d + 2*d*float64(p.FFNDim)), l}})
	}
	least := []float64{1 / peak, 1 / peak, 0, 1 / bandwidth, 0, 0}
	c, first, err := fit(rows, least)
	if err != nil {
		return e, 0, err
	}
	e = Efficiency{Linear: part(c[0], peak), Attention: part(c[1], peak), Softmax: c[2] / c[1],
		Memory: part(c[3], bandwidth), Weight: c[4] / c[3], Layer: c[5]}

	// And a decoding: operations of the first latent frame, which becomes a single frame, and of the
	// others, bytes, latent frames.
	rows = nil
	for _, d := range decodings {
		n := float64(d.Latents)
		rows = append(rows, fitRow{d.Seconds, []float64{d.Work * (n - 1), d.Work, d.Bytes * n, n}})
	}
	c, second, err := fit(rows, []float64{1 / peak, 0, 0, 0})
	if err != nil {
		return e, 0, err
	}

	// Of decoding, too, bytes count as part of what passes reach of the bandwidth.
	e.Convolution, e.First = part(c[0], peak), c[1]/c[0]
	e.Decoded, e.Frame = c[2]*bandwidth*e.Memory, c[3]
	return e, max(first, second), nil
}

// part is what seconds for one are of what a second has at most.
func part(seconds, most float64) float64 { return min(1, 1/(seconds*most)) }

// fitRow is a figure and what it consists of.
type fitRow struct {
	y float64
	x []float64
}

// Coordinate descent is simple, and these are a few dozen rows of six parts: it takes milliseconds.
// Relative errors are taken, as passes of a millisecond are to be as right as those of a second.

// fit returns how much each part of the rows takes, from its least on, by which the relative errors
// are least in squares; and what these are, as a standard deviation.
func fit(rows []fitRow, least []float64) (c []float64, relative float64, err error) {
	const rounds = 20000
	n := len(least)
	if len(rows) <= n || slices.ContainsFunc(rows, func(r fitRow) bool { return !(r.y > 0) }) {
		return nil, 0, errors.New("cannot tell what a device reaches of so few times")
	}

	// Each part is scaled by its mean, as counts of operations and of layers are far apart.
	c = slices.Clone(least)
	scale := make([]float64, n)
	for i := range n {
		for _, r := range rows {
			scale[i] += r.x[i] / r.y / float64(len(rows))
		}
		scale[i] = cmp.Or(scale[i], 1)
		c[i] *= scale[i]
	}

	// Coordinate descent: one part at a time takes what the others leave, but never less than its
	// least. The sum of squares is convex, so that it ends at the only minimum.
	of := func(r fitRow, i int) float64 { return r.x[i] / r.y / scale[i] }
	rest := make([]float64, len(rows))
	for k, r := range rows {
		rest[k] = 1
		for i := range n {
			rest[k] -= of(r, i) * c[i]
		}
	}
	for range rounds {
		for i := range n {
			var up, down float64
			for k, r := range rows {
				up, down = up+of(r, i)*rest[k], down+of(r, i)*of(r, i)
			}
			next := max(least[i]*scale[i], c[i]+up/down)
			for k, r := range rows {
				rest[k] -= of(r, i) * (next - c[i])
			}
			c[i] = next
		}
	}

	// What is left of the rows is their error. As many rows as parts say nothing of it.
	for i := range n {
		c[i] /= scale[i]
	}
	for _, v := range rest {
		relative += v * v
	}
	return c, math.Sqrt(relative / float64(len(rows)-n)), nil
}
