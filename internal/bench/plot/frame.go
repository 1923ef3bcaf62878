package plot

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Limits of a figure.
const (
	PointsMax = 20_000 // of a series; longer ones have to be thinned
	seriesMax = 16
)

// Mark is a line across the figure, with a label: a percentile, an objective, a fault.
type Mark struct {
	// At is where, on the axis x, or on y if Across.
	At     float64
	Across bool
	Label  string
}

// entry is one of the legend's.
type entry struct {
	name   string
	line   draw.LineStyle
	filled color.Color // nil for a line
}

// frame is what all figures have around their data.
type frame struct {
	// What the caller of SVG has given, and the spans that fit its data.
	title  string
	x, y   Axis
	xs, ys span
	legend []entry
	marks  []Mark

	// xTicks take the place of round values.
	xTicks []gonum.Tick
}

// svg draws the data with all that is around it. The ground is white and opaque, as axes and texts
// are dark: on a dark page, the figure is a white card.
func (f frame) svg(data ...gonum.Plotter) ([]byte, error) {
	if f.title == "" || f.x.Label == "" || f.y.Label == "" {
		return nil, errors.New("a figure has a title, and axes with labels")
	}
	canvas := vgsvg.New(width, height)
	all := draw.New(canvas)
	all.FillPolygon(color.White, []vg.Point{{X: 0, Y: 0}, {X: width, Y: 0}, {X: width, Y: height},
		{X: 0, Y: height}})
	c := draw.Crop(all, margin, -margin, margin, -margin)

	// From top to bottom: title, legend, labels of marks, figure.
	p := f.plot(data)
	c.Max.Y = f.drawTitle(c)
	c.Max.Y = f.drawLegend(c)
	rows := f.rows(p, c)
	top := c.Max.Y
	c.Max.Y -= vg.Length(len(rows)) * (textSize + 3)
	p.Draw(c)
	f.drawMarks(p, c, rows, top)

	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("cannot draw %q: %w", f.title, err)
	}
	return bytes.ReplaceAll(out.Bytes(), []byte("font-family:Liberation Sans;"), families), nil
}

// plot makes the figure with its axes and grid. The grid is there to compare points that are far
// from the axes; it is as faint as it can be and still be seen at half width.
func (f frame) plot(data []gonum.Plotter) *gonum.Plot {
	p := gonum.New()
	p.BackgroundColor = nil // the ground is there already
	dress(&p.X, f.x, f.xs, f.xTicks)
	dress(&p.Y, f.y, f.ys, nil)
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XCenter, draw.YTop
	p.Y.Tick.Label.XAlign, p.Y.Tick.Label.YAlign = draw.XRight, draw.YCenter

	// Bars have names and no values on x, so lines through them would mean nothing.
	g := plotter.NewGrid()
	g.Horizontal = draw.LineStyle{Color: grid, Width: 0.8}
	g.Vertical = g.Horizontal
	if f.xTicks != nil {
		g.Vertical.Color = nil
	}
	p.Add(g)
	p.Add(data...)

	// Add widens the axes to the data; the spans have room already.
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = f.xs.min, f.xs.max, f.ys.min, f.ys.max
	return p
}

// dress gives an axis the style of all figures: thin grey lines, as axes are no data, and texts
// that are dark enough to be read.
func dress(on *gonum.Axis, a Axis, s span, ticks []gonum.Tick) {
	on.Label.Text, on.Label.Padding = a.Label, 4
	on.Label.TextStyle = words(textSize, ink)
	on.Label.TextStyle.XAlign = draw.XCenter
	on.LineStyle = draw.LineStyle{Color: faint, Width: 0.8}
	on.Padding = 0
	on.Tick.Label = words(textSize, ink)
	on.Tick.LineStyle, on.Tick.Length = on.LineStyle, 4
	if a.Log {
		on.Scale = gonum.LogScale{}
	}
	if ticks == nil {
		ticks = a.ticks(s)
	}
	on.Tick.Marker = gonum.ConstantTicks(ticks)
}

// drawTitle returns where the rest may begin. A title that is too wide is set smaller, rather than
// cut: its end may be what tells it from another.
func (f frame) drawTitle(c draw.Canvas) vg.Length {
	style := bold(titleSize)
	if w := breadth(style, f.title); w > c.Size().X {
		style = bold(titleSize * c.Size().X / w)
	}
	y := c.Max.Y - titleSize
	c.FillText(style, vg.Point{X: c.Min.X, Y: y}, f.title)
	return y - 6
}

// drawLegend sets names in rows from left to right, and returns where the rest may begin. One
// series needs none: the title says what it is.
func (f frame) drawLegend(c draw.Canvas) vg.Length {
	if len(f.legend) < 2 {
		return c.Max.Y
	}
	const sample, gap = vg.Length(22), vg.Length(14)

	// gonum's own legend lies on the figure, where there may be data.
	style := words(textSize, ink)
	x, y := c.Min.X, c.Max.Y-textSize

	// Rows take from the figure's height, so names are cut, too.
	for _, e := range f.legend {
		e.name = short(e.name)
		w := sample + 5 + breadth(style, e.name)
		if x > c.Min.X && x+w > c.Max.X {
			x, y = c.Min.X, y-textSize-4
		}

		// Samples stand at the middle of small letters.
		middle := y + textSize*0.42
		if e.filled != nil {
			c.FillPolygon(e.filled, []vg.Point{{X: x, Y: middle - 5}, {X: x + sample, Y: middle - 5},
				{X: x + sample, Y: middle + 5}, {X: x, Y: middle + 5}})
		} else {
			c.StrokeLine2(e.line, x, middle, x+sample, middle)
		}
		c.FillText(style, vg.Point{X: x + sample + 5, Y: y}, e.name)
		x += w + gap
	}
	return y - 5
}
