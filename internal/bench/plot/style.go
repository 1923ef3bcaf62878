package plot

import (
	"image/color"

	stdfont "golang.org/x/image/font"
	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Size of a figure, and of its texts: at half of the width that pages have, texts are about as
// large as the page's own small print.
const (
	width     = 6.4 * vg.Inch
	height    = 4 * vg.Inch
	margin    = vg.Length(8)
	titleSize = vg.Length(14)
	textSize  = vg.Length(12)
	lineWidth = vg.Length(2)
)

// palette is that of Okabe and Ito (2008), which people with any colour vision can tell apart,
// without its yellow, which is faint on white.
var palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, // blue
	{0xd5, 0x5e, 0x00, 0xff}, // vermilion
	{0x00, 0x9e, 0x73, 0xff}, // bluish green
	{0xe6, 0x9f, 0x00, 0xff}, // orange
	{0xcc, 0x79, 0xa7, 0xff}, // reddish purple
	{0x56, 0xb4, 0xe9, 0xff}, // sky blue
	{0x00, 0x00, 0x00, 0xff},
}

// Colours of what is not data.
var (
	ink   = color.RGBA{0x22, 0x22, 0x22, 0xff}
	faint = color.RGBA{0x88, 0x88, 0x88, 0xff}
	grid  = color.RGBA{0xe2, 0xe2, 0xe2, 0xff}
	// grounds is behind labels that lie on data.
	grounds = color.NRGBA{0xff, 0xff, 0xff, 0xd0}
)

// dashes tell lines apart where colours do not, as in print.
var dashes = [][]vg.Length{nil, {7, 3}, {2, 2}, {9, 3, 2, 3}}

// colour is that of the i-th series of a figure.
func colour(i int) color.RGBA { return palette[i%len(palette)] }

// band is a colour that lets what is below shine through.
func band(c color.RGBA) color.NRGBA { return color.NRGBA{c.R, c.G, c.B, 0x38} }

// families are what viewers look for. Arial and Helvetica have the widths of Liberation Sans; a
// viewer that is told of it alone takes its own standard, which has serifs.
var families = []byte("font-family:Liberation Sans,Arial,Helvetica,DejaVu Sans,sans-serif;")

// breadth is how wide a text may be: viewers without any font of these widths, as on many servers,
// take one like DejaVu Sans, which is an eighth wider. Nothing overlaps, or leaves the figure,
// there.
func breadth(s text.Style, of string) vg.Length { return 1.15 * s.Width(of) }

// words is a style of text, by whose widths everything is placed.
func words(size vg.Length, c color.Color) text.Style {
	return text.Style{Color: c, Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		XAlign: draw.XLeft, YAlign: draw.YBottom, Handler: gonum.DefaultTextHandler}
}

// bold is a style for titles.
func bold(size vg.Length) text.Style {
	s := words(size, ink)
	s.Font.Weight = stdfont.WeightBold
	return s
}
