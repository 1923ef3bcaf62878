package plan

import (
	"math"
	"slices"
)

// Sample is what a clip took that was completed, in seconds of one rank. Stages are zero where they
// were not measured.
type Sample struct {
	Effort                 Effort
	Total                  float64
	Denoise, Decode, Write float64
}

// Calibration predicts what clips take from what earlier ones took. It is the estimate with the
// least squares of relative errors, and of the distance from what is to be expected of a node's
// rated speed: the fewer clips there are, the more that counts (a ridge regression, or the maximum
// a posteriori of a linear model with normal priors). Outliers count less, after Huber.
type Calibration struct {
	prices Effort                // seconds for each term
	spread [terms][terms]float64 // covariance of prices
	noise  float64               // relative error of clips against the prices
	// Samples is how many clips it was made from.
	Samples int
}

// What prices are before anything is known, and how far they may be from that. Rated speeds are
// those of products; all prices that depend on them may be off by a common factor, too.
var (
	expected = Effort{fixed: 0.03, linear: 1, attention: 1, passes: 0.001, decode: 2, first: 0.5,
		encode: 50e-9}
	unsure = Effort{fixed: 0.1, linear: 0.3, attention: 0.5, passes: 0.01, decode: 1, first: 0.5,
		encode: 200e-9}
	common = Effort{linear: 1, attention: 1, decode: 2, first: 0.5}
)

const (
	// Relative errors to be expected of a clip's total and of its stages, and an absolute one of
	// stages, in seconds: clocks and other processes.
	totalNoise, stageNoise, stageFloor = 0.05, 0.15, 0.004
	// What clips are expected to differ by from the prices, and as how many clips that counts: a few
	// clips fit prices that were made from them better than the next one will.
	scatterExpected, scatterWeight = 0.12, 4
	// Huber's bound, in standard deviations, and rounds of reweighting.
	outlying, reweighings = 1.5, 8
	// Rounds over the terms in which prices below 0 are kept at it.
	descents = 200
)

// pace is by how much clips are slower than the rated speed: rating takes a moment, in which the
// machine may do something else. It is the median of the clips' paces, in the stages that depend on
// the speed as far as these were measured; what is expected of prices goes by it.
func pace(samples []Sample) float64 {
	var all []float64
	for _, s := range samples {
		took, want := s.Total, s.Effort.dot(expected)
		if s.Denoise > 0 && s.Decode > 0 {
			took, want = s.Denoise+s.Decode, s.Effort.only(linear, attention, decode, first).dot(expected)
		}
		if p := took / want; p > 0 && !math.IsInf(p, 0) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return 1
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// row is an equation: what terms take together, and how exactly that is known.
type row struct {
	x     Effort
	y     float64
	sigma float64
}

// A total alone would not do: of three clips it gives three equations for seven prices, and a long
// clip has many frames to denoise and as many to decode, so that which of these is slow would stay
// open. A clip of few steps then shows it, much too late for who asked about one.

// only returns an effort without other terms than these.
func (e Effort) only(keep ...int) (out Effort) {
	for _, k := range keep {
		out[k] = e[k]
	}
	return out
}

// rows are the equations that a clip gives: one of the whole, and those of its stages, which tell
// apart what a few totals alone could not.
func (s Sample) rows() []row {
	if !(s.Total > 0) || math.IsInf(s.Total, 0) {
		return nil
	}
	out := []row{{s.Effort, s.Total, totalNoise * s.Total}}
	for _, stage := range []row{
		{x: s.Effort.only(linear, attention, passes), y: s.Denoise},
		{x: s.Effort.only(decode, first), y: s.Decode},
		{x: s.Effort.only(encode), y: s.Write},
	} {
		if stage.y > 0 && stage.y < s.Total {
			stage.sigma = stageNoise*stage.y + stageFloor
			out = append(out, stage)
		}
	}
	return out
}

// Calibrate finds prices from clips of one model on nodes of one kind, in any order.
func Calibrate(samples []Sample) Calibration {
	var rows []row
	c := Calibration{}
	at := pace(samples)
	for _, s := range samples {
		if r := s.rows(); r != nil {
			rows, c.Samples = append(rows, r...), c.Samples+1
		}
	}

	// In each round but the first, clips far from the prices of the round before count for less.
	for round := range reweighings {
		a, b := prior(at)
		for _, r := range rows {
			w := 1.0
			if off := math.Abs(r.x.dot(c.prices)-r.y) / r.sigma; off > outlying && round > 0 {
				w = outlying / off
			}
			w /= r.sigma * r.sigma
			for i := range terms {
				b[i] += w * r.x[i] * r.y
				for j := range terms {
					a[i][j] += w * r.x[i] * r.x[j]
				}
			}
		}
		c.spread = inverse(a)
		c.prices = solve(a, b, c.spread)
	}
	c.noise = c.scatter(samples)
	return c
}

// The error has two parts. Prices are not known exactly, less so the fewer clips have shown them:
// that is their covariance, which for a clip unlike all before is large. And clips differ from each
// other for reasons that no term has: that shows in how far those before were from the prices.

// scatter is the relative error of totals against the prices, as far as there are clips that show
// it.
func (c Calibration) scatter(samples []Sample) float64 {
	sum, n := scatterWeight*scatterExpected*scatterExpected, float64(scatterWeight)
	for _, s := range samples {
		if s.rows() != nil {
			off := min(math.Abs(s.Effort.dot(c.prices)/s.Total-1), 1)
			sum, n = sum+off*off, n+1
		}
	}
	return math.Sqrt(sum / n)
}

// Predict returns the seconds that a clip takes of a rank, and the standard error of that, as a
// part of it.
func (c Calibration) Predict(e Effort) (seconds, relative float64) {
	seconds = e.dot(c.prices)
	if seconds <= 0 {
		return 0, 1
	}

	// The variance of a sum of prices that depend on each other.
	variance := 0.0
	for i := range terms {
		for j := range terms {
			variance += e[i] * c.spread[i][j] * e[j]
		}
	}
	return seconds, math.Sqrt(max(variance, 0)/(seconds*seconds) + c.noise*c.noise)
}

func (e Effort) dot(o Effort) (sum float64) {
	for i := range terms {
		sum += e[i] * o[i]
	}
	return sum
}

// prior returns the normal equations of what is expected at a pace before there are samples.
func prior(pace float64) (a [terms][terms]float64, b Effort) {
	mean, off, together := expected, unsure, common
	for _, i := range []int{linear, attention, decode, first} {
		mean[i], off[i], together[i] = pace*mean[i], pace*off[i], pace*together[i]
	}

	var spread [terms][terms]float64
	for i := range terms {
		for j := range terms {
			spread[i][j] = together[i] * together[j]
		}
		spread[i][i] += off[i] * off[i]
	}
	a = inverse(spread)
	for i := range terms {
		for j := range terms {
			b[i] += a[i][j] * mean[j]
		}
	}
	return a, b
}

// solve returns the x of the least x'ax/2 - b'x from 0 up. a is symmetric and positive definite, so
// that there is one; inv is its inverse. Where that alone leads below 0, coordinate descent goes on
// from there.
func solve(a [terms][terms]float64, b Effort, inv [terms][terms]float64) (x Effort) {
	below := false
	for i := range terms {
		for j := range terms {
			x[i] += inv[i][j] * b[j]
		}
		if x[i] < 0 {
			x[i], below = 0, true
		}
	}
	if !below {
		return x
	}

	for range descents {
		for i := range terms {
			rest := b[i]
			for j := range terms {
				if j != i {
					rest -= a[i][j] * x[j]
				}
			}
			x[i] = max(0, rest/a[i][i])
		}
	}
	return x
}

// inverse returns that of a symmetric positive definite matrix, by Gauss and Jordan. Terms differ
// by many powers of ten, so it is scaled to ones on the diagonal first.
func inverse(a [terms][terms]float64) (out [terms][terms]float64) {
	var scale Effort
	for i := range terms {
		scale[i] = 1 / math.Sqrt(a[i][i])
		out[i][i] = 1
	}
	for i := range terms {
		for j := range terms {
			a[i][j] *= scale[i] * scale[j]
		}
	}

	// A row is divided by its pivot, and taken off all others.
	// No pivots are chosen: those of a positive definite matrix are above 0.
	for p := range terms {
		by := 1 / a[p][p]
		for j := range terms {
			a[p][j], out[p][j] = a[p][j]*by, out[p][j]*by
		}
		for i := range terms {
			if f := a[i][p]; i != p {
				for j := range terms {
					a[i][j], out[i][j] = a[i][j]-f*a[p][j], out[i][j]-f*out[p][j]
				}
			}
		}
	}
	for i := range terms {
		for j := range terms {
			out[i][j] *= scale[i] * scale[j]
		}
	}
	return out
}
