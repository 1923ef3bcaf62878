package plot

import (
	"fmt"

	gonum "gonum.org/v1/plot"
)

// barsMax is how many bars a figure has at most.
const barsMax = 400

// Part is what each bar has of one kind, such as a stage.
type Part struct {
	Name string

	// Values has one for each bar; negative ones are refused.
	Values []float64
}

// Bars is a figure of bars, each stacked of parts.
type Bars struct {
	Title string
	X, Y  Axis

	// Names stand below the bars. Where there are too many, some are left out.
	Names []string
	Parts []Part
	Marks []Mark
}

// SVG draws the figure. Bars begin at 0, or else their lengths would not compare as their values
// do; so the axis y is linear, whatever it asks for.
func (b Bars) SVG() ([]byte, error) {
	if n := len(b.Names); n > barsMax {
		return nil, fmt.Errorf("a figure has %d bars; allowed: up to %d", n, barsMax)
	}
	f := frame{title: b.Title, x: b.X, y: b.Y, marks: b.Marks, xTicks: b.ticks(),
		xs: span{-0.6, float64(len(b.Names)) - 0.4}}
	f.y.Zero, f.y.Log = true, false

	// Part by part, as the legend goes; each rectangle stands on what its bar has so far.
	tops := make([]float64, len(b.Names))
	var data []gonum.Plotter
	for i, p := range b.Parts {
		if len(p.Values) != len(b.Names) {
			return nil, fmt.Errorf("part %q has %d values for %d bars", p.Name, len(p.Values), len(b.Names))
		}
		for j, v := range p.Values {
			if !(v >= 0) {
				return nil, fmt.Errorf("part %q has the value %v; allowed: from 0 on", p.Name, v)
			}
			const half = 0.38
			r, err := rectangle(float64(j)-half, tops[j], float64(j)+half, tops[j]+v)
			if err != nil {
				return nil, fmt.Errorf("cannot draw part %q: %w", p.Name, err)
			}
			r.Color = colour(i)
			data = append(data, r)
			tops[j] += v
		}
		f.legend = append(f.legend, entry{name: p.Name, filled: colour(i)})
	}

	f.ys = f.y.fit(tops)
	return f.svg(data...)
}

// ticks names the bars. Of many, every second, fifth and so on has its name, so that none overlap:
// widths are estimated by characters, and the longest name counts for all.
func (b Bars) ticks() []gonum.Tick {
	longest := 1
	for _, n := range b.Names {
		longest = max(longest, len([]rune(n)))
	}
	const columns = 52 // of characters that fit below a figure
	room := max(1, columns/(longest+2))
	every := 1
	for _, step := range []int{1, 2, 5, 10, 20, 50, 100, 200, 400} {
		if every = step; len(b.Names) <= room*step {
			break
		}
	}

	out := []gonum.Tick{}
	for i, n := range b.Names {
		if i%every == 0 {
			out = append(out, gonum.Tick{Value: float64(i), Label: n})
		}
	}
	return out
}
