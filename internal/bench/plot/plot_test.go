package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// figures has one of each kind, and hard cases, such as marks that are close to each other.
func figures() map[string]func() ([]byte, error) {
	x := []float64{0.05, 0.1, 0.2, 0.4, 0.8}
	wait := []float64{0, 10, 20, 30, 40, 50}
	return map[string]func() ([]byte, error){
		"rates": Lines{Title: "Latency against offered rate: saturates at 0.4 requests/s",
			X: Axis{Label: "offered rate (requests/s)", Log: true},
			Y: Axis{Label: "latency (s)", Zero: true},
			Series: []Series{
				{Name: "p50", X: x, Y: []float64{8, 8.5, 10, 14, 60}, Points: true,
					Low: []float64{7, 8, 9, 12, 50}, High: []float64{9, 9, 11, 16, 70}},
				{Name: "p90", X: x, Y: []float64{9, 10, 14, 25, 90}, Points: true},
				{Name: "p99", X: x, Y: []float64{10, 12, 18, 40, 120}, Points: true}},
			Marks: []Mark{{At: 0.4, Label: "saturated"}, {At: 30, Across: true, Label: "objective 30 s"}},
		}.SVG,
		"cdf": Lines{Title: "Latency of 200 clips", X: Axis{Label: "latency (s)"},
			Y:      Axis{Label: "requests (%)", Zero: true, Max: 100},
			Series: []Series{CDF("latency", []float64{9.1, 9.3, 9.4, 9.7, 9.9, 10, 10.1, 10.2, 10.9, 12.5})},
			Marks: []Mark{{At: 9.9, Label: "p50 9.90 s"}, {At: 10.9, Label: "p90 10.9 s"},
				{At: 12.5, Label: "p99 12.5 s"}, {At: 10, Label: "objective 10 s"}}}.SVG,
		"timeline": Lines{Title: "Goodput over time, with faults",
			X: Axis{Label: "time since the start (min)", Zero: true},
			Y: Axis{Label: "goodput (clips/h)", Zero: true},
			Series: []Series{{Name: "with faults", X: wait, Y: []float64{300, 310, 150, 290, 305, 300},
				Step: true}, {Name: "undisturbed", X: wait, Y: []float64{300, 310, 320, 310, 305, 300},
				Step: true}},
			Marks: []Mark{{At: 18, Label: "kill shard 3"}, {At: 21, Label: "kill coordinator 1"},
				{At: 22, Label: "kill shard 1"}}}.SVG,
		"stages": Bars{Title: "Where the time of a clip goes", X: Axis{Label: "percentile of latency"},
			Y: Axis{Label: "time (s)"}, Names: []string{"p10", "p50", "p90", "p99"},
			Parts: []Part{{"queue", []float64{0, 1, 5, 20}}, {"text", []float64{0.3, 0.3, 0.3, 0.4}},
				{"denoise", []float64{7, 7.2, 7.4, 8}}, {"decode", []float64{1, 1, 1.1, 1.2}},
				{"encode", []float64{0.4, 0.4, 0.4, 0.5}}}}.SVG,
	}
}

// TestFiguresAreTheSameEachTime also writes them to PLOTS, if that is set, to be looked at.
func TestFiguresAreTheSameEachTime(t *testing.T) {
	for name, draw := range figures() {
		a, err := draw()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := draw()
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: two drawings differ (%v)", name, err)
		}
		d := xml.NewDecoder(bytes.NewReader(a))
		for err = nil; err == nil; _, err = d.Token() {
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s is not XML: %v", name, err)
		}
		if bytes.Contains(a, []byte("NaN")) || bytes.Contains(a, []byte("Inf")) {
			t.Errorf("%s has coordinates that are no numbers", name)
		}
		if dir := os.Getenv("LONGTAKE_PLOTS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, name+".svg"), a, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestTextsStayApart reads where texts are, and holds that none is over another or outside.
func TestTextsStayApart(t *testing.T) {
	for name, draw := range figures() {
		svg, err := draw()
		if err != nil {
			t.Fatal(err)
		}
		boxes := texts(t, svg)
		if len(boxes) < 8 {
			t.Errorf("%s has only %d texts", name, len(boxes))
		}
		for i, a := range boxes {
			if a.x0 < 0 || a.x1 > float64(width) || a.y0 < 0 || a.y1 > float64(height) {
				t.Errorf("%s: %q leaves the figure: %+v", name, a.text, a)
			}
			for _, b := range boxes[:i] {
				if a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1 {
					t.Errorf("%s: %q is over %q", name, a.text, b.text)
				}
			}
		}
	}
}

// box is where a text is.
type box struct {
	text           string
	x0, y0, x1, y1 float64
}

// texts finds the texts of a figure that are not turned.
func texts(t *testing.T, svg []byte) []box {
	t.Helper()
	type text struct {
		X     float64 `xml:"x,attr"`
		Y     float64 `xml:"y,attr"`
		Style string  `xml:"style,attr"`
		Text  string  `xml:",chardata"`
	}
	var doc struct {
		G struct {
			Texts []text `xml:"text"`
		} `xml:"g"`
	}
	if err := xml.Unmarshal(svg, &doc); err != nil {
		t.Fatal(err)
	}
	var out []box
	for _, e := range doc.G.Texts {
		style := words(textSize, ink)
		if strings.Contains(e.Style, "bold") {
			style = bold(titleSize)
		}
		w := float64(breadth(style, e.Text))
		y := float64(height) + e.Y // the origin is at the bottom
		out = append(out, box{e.Text, e.X, y - 0.72*float64(textSize), e.X + w, y})
	}
	return out
}

func labels(a Axis, s span) string {
	var out []string
	for _, t := range a.ticks(s) {
		if t.Label != "" {
			out = append(out, t.Label)
		}
	}
	return strings.Join(out, " ")
}

func TestTicksAreRound(t *testing.T) {
	f := func(a Axis, min, max float64, want string) {
		t.Helper()
		if got := labels(a, span{min, max}); got != want {
			t.Errorf("%v to %v: %s; want %s", min, max, got, want)
		}
	}
	f(Axis{}, 0, 10, "0 2 4 6 8 10")
	f(Axis{}, 0, 1, "0.0 0.2 0.4 0.6 0.8 1.0")
	f(Axis{}, -0.3, 0.1, "-0.3 -0.2 -0.1 0.0 0.1")
	f(Axis{}, 9.03, 9.31, "9.05 9.10 9.15 9.20 9.25 9.30")
	f(Axis{}, 0, 70_000, "0 10k 20k 30k 40k 50k 60k 70k")
	f(Axis{}, 0, 3.2e6, "0 500k 1M 1.5M 2M 2.5M 3M")
	f(Axis{Log: true}, 0.04, 0.9, "0.05 0.1 0.2 0.5")
	f(Axis{Log: true}, 1, 100, "1 2 5 10 20 50 100")
	f(Axis{Log: true}, 1, 1e6, "1 10 100 1000 10k 100k 1M")
	f(Axis{Log: true}, 1e-3, 1e13, "0.001 1 1000 1M 1G 1T")
}

func TestWhatCannotBeDrawn(t *testing.T) {
	good := Lines{Title: "t", X: Axis{Label: "x"}, Y: Axis{Label: "y"}}
	f := func(draw func() ([]byte, error), want string) {
		t.Helper()
		if _, err := draw(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
	with := func(s ...Series) func() ([]byte, error) {
		l := good
		l.Series = s
		return l.SVG
	}
	f(Lines{}.SVG, "a title, and axes with labels")
	f(with(Series{Name: "a", X: []float64{1}}), `series "a" has lists of several lengths`)
	f(with(Series{X: make([]float64, PointsMax+1)}), "allowed: up to 20000")
	f(with(make([]Series, 17)...), "17 series")
	f(Bars{Names: []string{"a"}, Parts: []Part{{"p", nil}}}.SVG, `part "p" has 0 values for 1 bars`)
	f(Bars{Names: []string{"a"}, Parts: []Part{{"p", []float64{-1}}}}.SVG, "the value -1")
	f(Bars{Names: make([]string, 401)}.SVG, "401 bars")

	// Nothing to show is shown as nothing.
	for _, s := range [][]Series{nil, {{}}, {{X: []float64{math.NaN()}, Y: []float64{1}}}} {
		if _, err := with(s...)(); err != nil {
			t.Error(err)
		}
	}
	logs := good
	logs.X.Log, logs.Series = true, []Series{{X: []float64{0, -1}, Y: []float64{1, 2}}}
	if _, err := logs.SVG(); err != nil {
		t.Error(err)
	}
}

func TestLongDistributionsAreThinned(t *testing.T) {
	values := make([]float64, 100_000)
	for i := range values {
		values[i] = float64(i)
	}
	s := CDF("long", values)
	if n := len(s.X); n > 2000 || s.Y[n-1] != 100 || s.X[n-1] != 99_999 {
		t.Errorf("%d points, up to %v at %v %%", n, s.X[n-1], s.Y[n-1])
	}
}
