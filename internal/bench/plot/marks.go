package plot

import (
	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Labels of marks: of how many marks, in how many rows, and of how many characters. Many faults of
// one kind would fill the page with the same word. Lines are drawn for all; of more than marksMax
// they are short, as the data would be hidden behind them.
const (
	marksMax    = 8
	markRowsMax = 3
	namesMax    = 32
)

// short cuts a name that would push the figure off its page.
func short(name string) string {
	if r := []rune(name); len(r) > namesMax {
		return string(r[:namesMax-1]) + "…"
	}
	return name
}

// placed is a label of a mark with where it begins and ends.
type placed struct {
	mark     Mark
	from, to vg.Length
}

// place returns where on the canvas a mark is, false if the axes do not show it.
func (f frame) place(p *gonum.Plot, data draw.Canvas, m Mark) (vg.Length, bool) {
	toX, toY := p.Transforms(&data)
	if m.Across {
		return toY(m.At), f.y.shows(m.At) && m.At >= f.ys.min && m.At <= f.ys.max
	}
	return toX(m.At), f.x.shows(m.At) && m.At >= f.xs.min && m.At <= f.xs.max
}

// rows puts the labels of upright marks into rows above the figure, the next row where one would
// touch the label before it.
func (f frame) rows(p *gonum.Plot, c draw.Canvas) [][]placed {
	style := words(textSize, ink)
	data := p.DataCanvas(c)
	var rows [][]placed
	for i, m := range f.marks {
		x, ok := vg.Length(0), false
		if !m.Across && m.Label != "" && i < marksMax {
			x, ok = f.place(p, data, m)
		}
		if !ok {
			continue
		}

		// A label stands in the middle of its line, but for those that would leave the figure.
		m.Label = short(m.Label)
		w := breadth(style, m.Label)
		from := min(max(x-w/2, c.Min.X), c.Max.X-w)

		// The first row that has room for it.
		row := 0
		for row < len(rows) && !free(rows[row], from, from+w) {
			row++
		}
		if row == markRowsMax {
			continue
		}
		if row == len(rows) {
			rows = append(rows, nil)
		}
		rows[row] = append(rows[row], placed{m, from, from + w})
	}
	return rows
}

// free reports whether a label fits into a row. Labels in a row keep a gap that is wider than a
// blank, or two of them would read as one.
func free(row []placed, from, to vg.Length) bool {
	const gap = 6
	for _, l := range row {
		if from < l.to+gap && l.from < to+gap {
			return false
		}
	}
	return true
}

// drawMarks draws the lines of marks, and their labels: those of upright ones in the rows, those of
// lines across at the right end, just above the line.
func (f frame) drawMarks(p *gonum.Plot, c draw.Canvas, rows [][]placed, top vg.Length) {
	// Lines are thin and broken, as they are no data, and lie over it, as they mark it.
	data := p.DataCanvas(c)
	line := draw.LineStyle{Color: ink, Width: 1, Dashes: []vg.Length{4, 3}}
	bottom := data.Min.Y
	if len(f.marks) > marksMax {
		bottom = data.Max.Y - 10
	}

	for _, m := range f.marks {
		at, ok := f.place(p, data, m)
		switch {
		case !ok:
		case m.Across:
			data.StrokeLine2(line, data.Min.X, at, data.Max.X, at)
			f.labelAcross(data, at, short(m.Label))
		default:
			data.StrokeLine2(line, at, bottom, at, data.Max.Y)
		}
	}

	// Labels stand apart from their lines where these are close to each other; they come in the same
	// order from left to right, row by row.
	for i, row := range rows {
		// The last row is the one next to the figure.
		y := top - vg.Length(i+1)*(textSize+3) + 2
		for _, l := range row {
			c.FillText(words(textSize, ink), vg.Point{X: l.from, Y: y}, l.mark.Label)
		}
	}
}

// labelAcross writes over a white ground, as there is data on both sides of the line.
func (f frame) labelAcross(data draw.Canvas, y vg.Length, label string) {
	style := words(textSize, ink)
	w := breadth(style, label)
	x := data.Min.X + 6
	if y+textSize+4 > data.Max.Y {
		y -= textSize + 5 // below the line, where the figure ends above it
	}
	ground := []vg.Point{{X: x - 2, Y: y + 2}, {X: x + w + 2, Y: y + 2},
		{X: x + w + 2, Y: y + textSize + 3}, {X: x - 2, Y: y + textSize + 3}}
	data.FillPolygon(grounds, ground)
	data.FillText(style, vg.Point{X: x, Y: y + 3}, label)
}
