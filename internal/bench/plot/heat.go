package plot

import (
	"fmt"
	"image/color"
	"math"

	gonum "gonum.org/v1/plot"
)

// cellsMax is how many cells a heat map has at most, and shades how many colours.
const (
	cellsMax = 20_000
	shades   = 9
)

// Heat is a map of values over two axes, dark where they are high. Cells that are NaN stay white.
type Heat struct {
	Title string
	X, Y  Axis

	// Of each axis: where the first cell begins, and how wide cells are.
	X0, DX, Y0, DY float64

	// Values are rows from the bottom to the top, each from left to right.
	Values [][]float64

	// Unit is of the values, for the legend.
	Unit  string
	Marks []Mark
}

// SVG draws the map, with a legend of its shades.
func (h Heat) SVG() ([]byte, error) {
	columns := 0
	low, high := math.Inf(1), math.Inf(-1)
	for _, row := range h.Values {
		columns = max(columns, len(row))
		for _, v := range row {
			if !math.IsNaN(v) {
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
	}
	if n := columns * len(h.Values); n > cellsMax || n == 0 || !(h.DX > 0 && h.DY > 0) {
		return nil, fmt.Errorf("a map has %d cells of %v x %v; allowed: 1 to %d, of some size", n, h.DX,
			h.DY, cellsMax)
	}

	// Cells fill the axes to their ends: room around them would look like cells without values.
	f := frame{title: h.Title, x: h.X, y: h.Y, marks: h.Marks,
		xs: span{h.X0, h.X0 + float64(columns)*h.DX},
		ys: span{h.Y0, h.Y0 + float64(len(h.Values))*h.DY}}
	var data []gonum.Plotter
	for i, row := range h.Values {
		for j, v := range row {
			if math.IsNaN(v) {
				continue
			}
			x, y := h.X0+float64(j)*h.DX, h.Y0+float64(i)*h.DY
			// Cells reach a little below the next ones, or viewers show seams between them.
			r, err := rectangle(x, y, min(f.xs.max, x+1.03*h.DX), min(f.ys.max, y+1.03*h.DY))
			if err != nil {
				return nil, fmt.Errorf("cannot draw a map: %w", err)
			}
			r.Color = shade(level(v, low, high))
			data = append(data, r)
		}
	}

	f.legend = h.scale(low, high)
	return f.svg(data...)
}

// level is the shade of a value, from 0 to shades-1. Few shades that a reader can find in the
// legend say more than many that nobody can tell apart.
func level(v, low, high float64) int {
	if high <= low {
		return 0
	}
	return min(shades-1, int(float64(shades)*(v-low)/(high-low)))
}

// shade goes from a light yellow over blue to almost black, and becomes darker all the way, so that
// it also reads in grey.
func shade(i int) color.RGBA {
	at := float64(i) / (shades - 1)
	stops := [][3]float64{{0xf2, 0xf0, 0xd0}, {0x7f, 0xb8, 0xc4}, {0x1f, 0x6f, 0xa8},
		{0x0a, 0x1f, 0x44}}
	k := min(len(stops)-2, int(at*float64(len(stops)-1)))
	part := at*float64(len(stops)-1) - float64(k)
	mix := func(c int) uint8 { return uint8(stops[k][c]*(1-part) + stops[k+1][c]*part) }
	return color.RGBA{mix(0), mix(1), mix(2), 0xff}
}

// scale names the value at which each second shade begins. Nine names would need two rows, and a
// reader finds the shades between by their neighbours.
func (h Heat) scale(low, high float64) []entry {
	if !(high > low) {
		return nil
	}
	var out []entry
	for i := 0; i < shades; i += 2 {
		from := low + float64(i)/shades*(high-low)
		name := fmt.Sprintf("%.3g", from)
		if i == 0 {
			name += " " + h.Unit
		}
		out = append(out, entry{name: name, filled: shade(i)})
	}
	return out
}
