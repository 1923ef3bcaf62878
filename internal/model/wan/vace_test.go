package wan

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// TestControlledPassEqualsTheReference runs a pass of WanVACETransformer3DModel whose layers are
// controlled by different scales, and looks at every block of both stacks.
func TestControlledPassEqualsTheReference(t *testing.T) {
	m, g := loadFolder(t, 2, compute.FP32, golden.Twin(t, "vace")), golden.Open(t, "vace_dit")
	grid := partition.Grid{T: 3, H: 6, W: 8, PT: 1, PH: 2, PW: 2}
	s := sequence(t, m, grid)
	seen := 0
	s.tap = func(name string, mat compute.Mat) {
		if name == "patch_embedding" {
			return
		}
		got := make([]float32, mat.Rows*mat.Cols)
		if err := m.dev.Download(got, mat); err != nil {
			t.Fatal(err)
		}
		// What the reference's hook sees of a controlled block is before the control is added.
		golden.Near(t, name, got, g.Floats(name), 1e-5)
		seen++
	}
	text, err := m.Text(trim(g.Floats("embeds"), m.cfg.TextDim))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Free()

	x := tokens(g.Floats("latent"), m.cfg.InChannels, grid)
	v, ts := make([]float32, len(x)), steps(g.Ints("timestep"))
	if err := s.Forward(context.Background(), collective.Tag{}, x, v, ts, text); err == nil {
		t.Error("a pass ran without its control")
	}
	control := tokens(g.Floats("control"), m.cfg.VaceInChannels, grid)
	if err := s.Control(control, []float32{1}); err == nil {
		t.Error("one scale for two layers was taken")
	}
	if err := s.Control(control, g.Floats("scales")); err != nil {
		t.Fatal(err)
	}
	seen = 0
	err = s.Forward(context.Background(), collective.Tag{}, x, v, ts, text)
	if err != nil || seen != 5 {
		t.Fatalf("%d blocks: %v", seen, err)
	}
	golden.Near(t, "output", v, tokens(g.Floats("output"), m.cfg.OutChannels, grid), 1e-5)

	// The block is named that makes values which are not finite, on a device that sees none as well.
	table := make([]float32, 6*m.cfg.Dim())
	table[3] = float32(math.NaN())
	if m.vace[1].table, err = m.dev.Vector(table); err != nil {
		t.Fatal(err)
	}
	s.tap = nil
	for _, m.dev = range []compute.Device{m.dev, blind{m.dev}} {
		err = s.Forward(context.Background(), collective.Tag{}, x, v, ts, text)
		_, bad := errors.AsType[*tensor.NotFiniteError](err)
		if !bad || !strings.HasPrefix(err.Error(), "what control block 2 of 2 makes") {
			t.Errorf("a broken control block: %v", err)
		}
	}
}
