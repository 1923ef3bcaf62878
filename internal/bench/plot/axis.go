package plot

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	gonum "gonum.org/v1/plot"
)

// Axis is one of a figure's two.
type Axis struct {
	// Label says what is measured, with its unit: "latency (s)".
	Label string

	// Log makes the axis logarithmic; values that are not positive are left out.
	Log bool

	// Zero makes the axis begin at 0, as lengths of bars have to.
	Zero bool

	// Max, if it is not 0, is where the axis ends at least.
	Max float64
}

// labelsMax is how many labels an axis has at most.
const labelsMax = 7

// span is what an axis shows.
// Both ends are finite, and positive on logarithmic axes.
type span struct{ min, max float64 }

// include widens a span.
func (s *span) include(v float64) {
	s.min, s.max = math.Min(s.min, v), math.Max(s.max, v)
}

// shows reports whether a value has a place on the axis: one that is a number, and positive where
// the axis is logarithmic.
func (a Axis) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!a.Log || v > 0)
}

// fit returns the span of some values with room around it. An axis without values is from 0 to 1,
// or from 1 to 10 if it is logarithmic: a figure without data is still a figure, as a page that is
// made of any result has to be.
func (a Axis) fit(values []float64) span {
	s := span{math.Inf(1), math.Inf(-1)}
	for _, v := range values {
		if a.shows(v) {
			s.include(v)
		}
	}
	if a.Max != 0 {
		s.include(a.Max)
	}

	// Nothing to show.
	if s.min > s.max {
		s = span{0, 1}
		if a.Log {
			s = span{1, 10}
		}
	}

	if a.Log {
		s = span{s.min / 1.1, s.max * 1.1}
		return s
	}
	if a.Zero {
		s.include(0)
	}
	return a.room(s)
}

// room widens a linear span a little, or by 1 if it has no width. Zero stays the end.
func (a Axis) room(s span) span {
	more := 0.04 * (s.max - s.min)
	if more == 0 {
		more = math.Max(1, 0.1*math.Abs(s.max))
	}
	s.max += more
	if !a.Zero || s.min < 0 {
		s.min -= more
	}
	return s
}

// ticks places labels on round values.
// It never asks how wide the labels are: on the axis x seven of them fit, and on y there is room.
func (a Axis) ticks(s span) []gonum.Tick {
	if a.Log {
		return logTicks(s)
	}
	return linearTicks(s)
}

// linearTicks are multiples of 1, 2 or 5 times a power of ten: steps that people can halve and add
// up in their heads.
func linearTicks(s span) []gonum.Tick {
	raw := (s.max - s.min) / labelsMax
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw {
			step = m * power
			break
		}
	}

	// Values are multiples of the step and not sums of it, which would end at 0.30000000000000004.
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	var out []gonum.Tick
	for i := math.Ceil(s.min/step - 1e-9); i*step <= s.max*(1+1e-12)+1e-300; i++ {
		v := i * step
		if v == 0 {
			v = 0 // not -0
		}
		out = append(out, gonum.Tick{Value: v, Label: amount(v, decimals)})
	}
	return out
}

// logTicks label powers of ten, and 2 and 5 times these where there is room. The other digits have
// ticks without labels.
func logTicks(s span) []gonum.Tick {
	decades := math.Log10(s.max / s.min)
	every := int(math.Max(1, math.Ceil(decades/labelsMax)))

	// Ends are compared with a value made in the same way as those inside, so that a span that ends
	// at a power of ten has its label there.
	var out []gonum.Tick
	for e := int(math.Floor(math.Log10(s.min))); e <= int(math.Ceil(math.Log10(s.max))); e++ {
		for m := 1; m < 10; m++ {
			v := float64(m) * math.Pow(10, float64(e))
			if v < s.min || v > s.max {
				continue
			}

			t := gonum.Tick{Value: v}
			if m == 1 && e%every == 0 || decades < 2.5 && (m == 2 || m == 5) {
				t.Label = amount(v, max(0, -e))
			}
			out = append(out, t)
		}
	}
	return out
}

// amount prints a tick: large ones with a letter for thousands, millions and so on, small ones with
// the decimals that their step has.
func amount(v float64, decimals int) string {
	// Thousands keep their digits: years and resolutions are such numbers.
	size := math.Abs(v)
	for _, u := range []struct {
		from float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if size >= u.from {
			unit := u.from
			if u.name == "k" {
				unit = 1e3
			}
			return strconv.FormatFloat(v/unit, 'g', 4, 64) + u.name
		}
	}

	// So many zeros would have to be counted.
	if decimals > 4 {
		return strings.Replace(fmt.Sprintf("%.3g", v), "e-0", "e-", 1)
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
