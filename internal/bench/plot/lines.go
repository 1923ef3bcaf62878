package plot

import (
	"fmt"
	"math"
	"slices"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Series is a line.
type Series struct {
	// Name is the legend's, which figures of one series do not have.
	Name string

	// X and Y have one length. Values that are not finite are left out.
	X, Y []float64

	// Low and High, if they are there, bound a band around the line.
	Low, High []float64

	// Step draws Y as what holds from each X to the next. Points draws a dot at each value; Bare
	// leaves out the line between them.
	Step, Points, Bare bool
}

// Lines is a figure of one or more series over one axis.
type Lines struct {
	Title  string
	X, Y   Axis
	Series []Series
	Marks  []Mark
}

// CDF returns the empirical distribution of values as a series: which share of them, in percent, is
// at most x.
func CDF(name string, values []float64) Series {
	// The line rises from 0 at the smallest value, rather than to begin in the air.
	sorted := slices.Sorted(slices.Values(values))
	s := Series{Name: name, Step: true}
	for i, v := range sorted {
		if i == 0 {
			s.X, s.Y = append(s.X, v), append(s.Y, 0)
		}
		s.X, s.Y = append(s.X, v), append(s.Y, 100*float64(i+1)/float64(len(sorted)))
	}
	return s.thinned()
}

// thinned leaves out values of a long series that no reader could see apart.
func (s Series) thinned() Series {
	const most = 2000
	n := len(s.X)
	if n <= most {
		return s
	}
	// First and last are kept: they are the minimum and maximum of a distribution.
	x, y := s.X, s.Y
	s.X, s.Y = nil, nil
	for i := range most {
		j := i * (n - 1) / (most - 1)
		s.X, s.Y = append(s.X, x[j]), append(s.Y, y[j])
	}
	return s
}

// SVG draws the figure. Labels and a title are needed, as are lengths that agree.
func (l Lines) SVG() ([]byte, error) {
	if len(l.Series) > seriesMax {
		return nil, fmt.Errorf("a figure has %d series; allowed: up to %d", len(l.Series), seriesMax)
	}
	var xs, ys []float64
	for _, s := range l.Series {
		if err := s.check(); err != nil {
			return nil, err
		}
		xs, ys = append(xs, s.X...), slices.Concat(ys, s.Y, s.Low, s.High)
	}

	// An objective is of interest where nothing meets it, too.
	for _, m := range l.Marks {
		if m.Across {
			ys = append(ys, m.At)
		}
	}

	f := frame{title: l.Title, x: l.X, y: l.Y, xs: l.X.fit(xs), ys: l.Y.fit(ys), marks: l.Marks}

	// Bands lie below all lines, also those of other series.
	var bands, data []gonum.Plotter
	for i, s := range l.Series {
		style := draw.LineStyle{Color: colour(i), Width: lineWidth, Dashes: dashes[i%len(dashes)]}
		f.legend = append(f.legend, entry{name: s.Name, line: style})
		b, err := s.band(l, i)
		if err != nil {
			return nil, err
		}
		drawn, err := s.line(l, style)
		if err != nil {
			return nil, err
		}
		bands, data = append(bands, b...), append(data, drawn...)
	}
	return f.svg(append(bands, data...)...)
}

// check refuses series that cannot be drawn.
func (s Series) check() error {
	if n := len(s.X); n > PointsMax {
		return fmt.Errorf("series %q has %d points; allowed: up to %d", s.Name, n, PointsMax)
	}
	if len(s.X) != len(s.Y) || len(s.Low) != len(s.High) || len(s.Low) != 0 && len(s.Low) != len(s.X) {
		return fmt.Errorf("series %q has lists of several lengths: %d, %d, %d, %d", s.Name, len(s.X),
			len(s.Y), len(s.Low), len(s.High))
	}
	return nil
}

// points pairs values that both axes show. A logarithmic axis has no place for 0, so a line leaves
// out such values rather than to end the whole figure with an error.
func (l Lines) points(x, y []float64) plotter.XYs {
	var out plotter.XYs
	for i := range x {
		if l.X.shows(x[i]) && l.Y.shows(y[i]) {
			out = append(out, plotter.XY{X: x[i], Y: y[i]})
		}
	}
	return out
}

// line draws a series without its band: nothing if none of its values can be shown, such as a rate
// at which no clip was made.
func (s Series) line(l Lines, style draw.LineStyle) ([]gonum.Plotter, error) {
	points := l.points(s.X, s.Y)
	if len(points) == 0 {
		return nil, nil
	}
	var out []gonum.Plotter
	if !s.Bare {
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, fmt.Errorf("cannot draw series %q: %w", s.Name, err)
		}
		line.LineStyle = style
		if s.Step {
			line.StepStyle = plotter.PostStep
		}
		out = append(out, line)
	}

	if s.Points || s.Bare {
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return nil, fmt.Errorf("cannot draw series %q: %w", s.Name, err)
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: style.Color, Radius: vg.Length(2.8),
			Shape: draw.CircleGlyph{}}
		out = append(out, dots)
	}
	return out, nil
}

// band draws what is between Low and High, as an area that ends where the values do. One point has
// no area, and its bounds are in the tables of the page.
func (s Series) band(l Lines, i int) ([]gonum.Plotter, error) {
	if len(s.Low) == 0 {
		return nil, nil
	}
	ring := l.points(s.X, s.Low)
	back := l.points(s.X, s.High)
	slices.Reverse(back)
	if len(ring) < 2 || len(back) < 2 {
		return nil, nil
	}
	p, err := plotter.NewPolygon(append(ring, back...))
	if err != nil {
		return nil, fmt.Errorf("cannot draw the band of %q: %w", s.Name, err)
	}
	p.Color, p.LineStyle.Width = band(colour(i)), 0
	return []gonum.Plotter{p}, nil
}

// rectangle is a filled area between two corners.
func rectangle(x0, y0, x1, y1 float64) (*plotter.Polygon, error) {
	for _, v := range []float64{x0, y0, x1, y1} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("a side of a rectangle is at %v", v)
		}
	}
	p, err := plotter.NewPolygon(plotter.XYs{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1},
		{X: x0, Y: y1}})
	if err != nil {
		return nil, err
	}
	p.LineStyle.Width = 0
	return p, nil
}
