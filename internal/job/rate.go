package job

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Rate is frames per second: a whole number, or a fraction such as film's 24000/1001. It is kept as
// the float64 nearest to the fraction, so that JSON has a whole rate as an integer and another one
// as a number that gives the same fraction again.
type Rate float64

// rateBase is the largest denominator of a rate: that of television, 1001. Two fractions of such
// denominators are at least 1e-6 apart, which float64 tells easily.
const rateBase = 1001

// televised is how near, as a share, a rate has to be to k·1000/1001 to be that: people write
// 23.976 and 29.97, which are 1e-6 away.
const televised = 1e-5

// ParseRate reads "16", "23.976" or "24000/1001". What is out of the limits is for Resolve to
// refuse.
func ParseRate(text string) (Rate, error) {
	if len(text) > 32 || strings.ContainsAny(text, "eEpPxX_") {
		return 0, fmt.Errorf("%.32q is no rate", text)
	}
	v, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, fmt.Errorf("%.32q is no rate", text)
	}
	f, _ := v.Float64()
	return Rate(f).near(), nil
}

// near returns the rate that r stands for: see Fraction. Two spellings of a rate, such as 29.97 and
// 30000/1001, thus become the same number in a record.
func (r Rate) near() Rate {
	n, d := r.Fraction()
	if d == 0 {
		return r
	}
	return Rate(float64(n) / float64(d))
}

// Fraction returns r as frames in seconds, in lowest terms: k·1000/1001 if r is one of television's
// rates, or else the nearest fraction of a denominator up to 1001. It is 0, 0 for what is not
// between 0 and a million.
func (r Rate) Fraction() (frames, seconds int) {
	v := float64(r)
	if !(v > 0 && v < 1e6) {
		return 0, 0
	}
	if v == math.Trunc(v) {
		return int(v), 1
	}

	// A rate of television, however it was rounded.
	if k := math.Round(v * 1.001); k > 0 && math.Abs(v-k/1.001) < televised*v {
		n := int(k) * 1000
		g := gcd(n, rateBase)
		return n / g, rateBase / g
	}

	// Any other: the nearest fraction, by trying all denominators.
	best := math.Inf(1)
	for d := 1; d <= rateBase; d++ {
		n := math.Round(v * float64(d))
		// Of equals the first one, in lowest terms.
		if e := math.Abs(v - n/float64(d)); n > 0 && e < best*(1-1e-6) {
			best, frames, seconds = e, int(n), d
		}
		if best < 1e-12*v {
			break
		}
	}
	return frames, seconds
}

// gcd is the greatest common divisor of two numbers above 0.
func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Seconds returns how long so many frames are shown.
func (r Rate) Seconds(frames int) float64 {
	n, d := r.Fraction()
	return float64(frames) * float64(d) / float64(n)
}

// PerPart returns how many frames are stored together as a second of the clip: as many as come
// nearest to one. At 23.976 frames per second that is 24, so a part may last slightly more than a
// second.
func (r Rate) PerPart() int { return max(1, int(math.Round(float64(r)))) }

// String returns a whole rate as such, and another one with five digits, such as 23.976.
func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'g', 5, 64) }
