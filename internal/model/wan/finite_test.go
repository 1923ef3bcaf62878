package wan

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// blind is a device that does not see what its norms are given, as GPUs do not.
type blind struct{ compute.Device }

// TestTheBlockIsNamed puts NaN into the transformer's input and into each of its blocks.
func TestTheBlockIsNamed(t *testing.T) {
	m := load(t, 1, "testdata", "golden", "tiny3")
	text, err := m.Text(make([]float32, m.cfg.TextDim))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Free()
	s := sequence(t, m, partition.Grid{T: 2, H: 4, W: 4, PT: 1, PH: 2, PW: 2})
	x := make([]float32, s.own.Len()*m.TokenWidth())
	v := make([]float32, len(x))
	table := make([]float32, 6*m.cfg.Dim())
	table[3] = float32(math.NaN())
	broken, err := m.dev.Vector(table)
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string) {
		t.Helper()
		ts := Timesteps{Values: []float32{500}}
		err := s.Forward(context.Background(), collective.Tag{}, x, v, ts, text)
		var bad *tensor.NotFiniteError
		if errors.As(err, &bad) != (want != "") || bad != nil && !strings.HasPrefix(bad.What, want) {
			t.Errorf("%v, want it after %q", err, want)
		}
	}
	sighted := m.dev
	for _, dev := range []compute.Device{sighted, blind{sighted}} {
		m.dev = dev
		check("")
		for i, want := range []string{"what block 1 of 2", "what block 2 of 2"} {
			good := m.blocks[i].table
			m.blocks[i].table = broken
			check(want)
			m.blocks[i].table = good
		}
		x[5] = float32(math.Inf(1))
		check("what the blocks are given")
		x[5] = 0
	}
	m.dev = sighted
}
