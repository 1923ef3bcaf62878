package partition

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// costPage is the page whose tables are made here. Each stands between two lines.
const costPage = "long-video.md"

func costLines(name string) (begin, end string) {
	return "<!-- made by make costs: " + name + " -->\n\n", "\n<!-- end: " + name + " -->"
}

// What the tables are for: Wan 2.1 and the windows that it has as it is published.
const (
	costFPS        = 16
	costWindow     = 21 // latent frames: 81 frames, what it was trained on
	costOverlap    = 5
	costSteps      = 50
	costTokenWidth = 16 * 2 * 2 // values: channels of a patch of 1x2x2
	costText       = 512        // embeddings of a prompt
	costSustained  = 400e12     // FLOP/s of one accelerator: assumed
)

// costModel is a transformer's shape.
type costModel struct {
	name              string
	layers            float64
	width, innerWidth float64
}

var costModels = []costModel{{"1.3B", 30, 1536, 8960}, {"14B", 40, 5120, 13824}}

// forward returns the floating-point operations of a pass over so many tokens: projections of self-
// and cross-attention, the feed-forward, attention over the tokens, attention over the text and the
// text's keys and values.
func (m costModel) forward(tokens int) float64 {
	s, d := float64(tokens), m.width
	return m.layers * (12*s*d*d + 4*s*d*m.innerWidth + 4*s*s*d + 4*s*costText*d + 4*costText*d*d)
}

// costClip is a clip of the tables.
type costClip struct {
	width, height, seconds int
}

func costClips() []costClip {
	var out []costClip
	for _, size := range [][2]int{{832, 480}, {1280, 720}, {1920, 1088}} {
		for _, seconds := range []int{5, 15, 60} {
			out = append(out, costClip{size[0], size[1], seconds})
		}
	}
	return out
}

func (c costClip) String() string {
	return fmt.Sprintf("%dx%d, %d s", c.width, c.height, c.seconds)
}

// load is the clip on Wan 1.3B; 14B differs in nothing that is asked of it.
func (c costClip) load() Load {
	grid := Grid{T: c.seconds*costFPS/4 + 1, H: c.height / 8, W: c.width / 8, PT: 1, PH: 2, PW: 2}
	return Load{Timeline: grid.Timeline(costWindow, costOverlap, false), Heads: 12, HeadDim: 128,
		Layers: 30, TokenWidth: costTokenWidth, Guided: true}
}

// seams returns what two neighbouring groups of windows send each other in a step.
func (c costClip) seams() string {
	if len(c.load().Windows(0)) == 1 {
		return "none"
	}
	seams := Bytes(Mesh{Window: 2, CFG: 1, Ulysses: 1}, c.load()).Seams
	return fmt.Sprintf("%.1f MB", float64(seams)/1e6)
}

// costSizes tells what a clip is cut into, and what travels.
func costSizes() string {
	var b strings.Builder
	b.WriteString("| clip | latents | windows | tokens of a window | tokens of the clip " +
		"| seam of two " +
		"groups, per step | latents as a file |\n|---|---|---|---|---|---|---|\n")
	for _, c := range costClips() {
		l := c.load()
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s | %.1f MB |\n", c, l.Frames, len(l.Windows(0)),
			l.WindowTokens(), l.Tokens(), c.seams(), float64(l.Tokens()*costTokenWidth*floatBytes)/1e6)
	}
	return b.String()
}

// costWork tells what a clip takes to compute.
func costWork() string {
	var b strings.Builder
	b.WriteString("| clip |")
	for _, m := range costModels {
		fmt.Fprintf(&b, " %s: PFLOP a step | %d steps | hours on one |", m.name, costSteps)
	}
	fmt.Fprintf(&b, "\n|---%s|\n", strings.Repeat("|---", 3*len(costModels)))
	for _, c := range costClips() {
		l := c.load()
		fmt.Fprintf(&b, "| %s |", c)
		for _, m := range costModels {
			step := 2 * float64(len(l.Windows(0))) * m.forward(l.WindowTokens())
			fmt.Fprintf(&b, " %s | %s | %s |", three(step/1e15), three(step*costSteps/1e15),
				three(step*costSteps/costSustained/3600))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// costMeshes tells what the planner knows of a minute of the demo, as longtake plan prints it.
func costMeshes(t *testing.T) string {
	grid := Grid{T: 241, H: 8, W: 12, PT: 1, PH: 2, PW: 2}
	l := Load{Timeline: grid.Timeline(9, 3, false), Heads: 8, HeadDim: 32, Layers: 8,
		TokenWidth: costTokenWidth, Guided: true}
	var b strings.Builder
	b.WriteString("| shards | mesh | passes a step, of the busiest | bytes a step, of all " +
		"| seams |\n" +
		"|---|---|---|---|---|\n")
	for _, shards := range []int{2, 3, 4, 8} {
		options, err := Explain(shards, l)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range options {
			chosen := ""
			if o.Best {
				chosen = ", chosen"
			}
			fmt.Fprintf(&b, "| %d | `%s`%s | %d | %d | %d |\n", shards, o.Mesh, chosen, o.Passes,
				o.Bytes.Sum(), o.Bytes.Seams)
		}
	}
	return b.String()
}

// three prints a number with three digits, or all of its whole ones.
func three(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// TestCostsOfLongClips wants the page's tables to be what the planner and the formula give; with
// LONGTAKE_COSTS it writes them.
func TestCostsOfLongClips(t *testing.T) {
	path := filepath.Join("..", "..", "docs", costPage)
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	now := string(page)
	for name, table := range map[string]string{"meshes": costMeshes(t), "sizes": costSizes(),
		"work": costWork()} {
		begin, end := costLines(name)
		before, rest, begun := strings.Cut(now, begin)
		old, after, ended := strings.Cut(rest, end)
		if !begun || !ended {
			t.Fatalf("%s lacks the lines %q and %q", path, begin, end)
		}
		if old != table && os.Getenv("LONGTAKE_COSTS") == "" {
			t.Errorf("%s: %s are not current; make costs writes:\n%s", path, name, table)
		}
		now = before + begin + table + end + after
	}
	if os.Getenv("LONGTAKE_COSTS") != "" {
		err = os.WriteFile(path, []byte(now), 0o644) //nolint:gosec // a page for all to read
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCostsAgreeWithWhatIsKnown: 81 frames of 480p and 720p have the tokens that Wan's paper names.
func TestCostsAgreeWithWhatIsKnown(t *testing.T) {
	for c, want := range map[costClip]int{{832, 480, 5}: 32760, {1280, 720, 5}: 75600} {
		if l := c.load(); l.Tokens() != want || len(l.Windows(0)) != 1 {
			t.Errorf("%s: %d tokens in %d windows; %d in one expected", c, l.Tokens(), len(l.Windows(0)),
				want)
		}
	}
}
