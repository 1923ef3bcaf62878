package coord

import (
	"errors"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// costly is the demo's shape: 256 wide, 8 layers.
func costly() job.Model {
	m := demo()
	m.Heads, m.HeadDim, m.Layers = 8, 32, 8
	m.Cost = job.Cost{FFNDim: 896, Decode: 1e6, Pixels: 112 * 64}
	return m
}

// TestCreateForesees refuses a clip by the speed that a shard registered with, and takes the same
// one where the client insists, or has it already.
func TestCreateForesees(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Limits.RequestTime = new(time.Hour)
	c := start(t, cfg)
	fake(t, c, "a", func(r *wire.Registration) { r.Model, r.Speed = costly(), 1e6 })
	r := request(1)
	var f *job.FieldError
	if _, err := c.Create(t.Context(), r); !errors.As(err, &f) || f.Field != "request" {
		t.Fatalf("refused with %v", err)
	}
	seed := uint64(1)
	r.Key, r.Force, r.Seed = "k", true, &seed
	first, err := c.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Force = false
	if again, err := c.Create(t.Context(), r); err != nil || again.ID != first.ID {
		t.Errorf("a repeat gives %s: %v", again.ID, err)
	}
	if n, err := c.Nodes(t.Context()); err != nil || n[0].Speed != 1e6 {
		t.Errorf("nodes %+v: %v", n, err)
	}
}

// TestANodeThatStopsSaysSo cancels a job whose rank takes its time.
func TestANodeThatStopsSaysSo(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	id := create(t, c, request(1))
	a.told()
	if _, err := c.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Nodes(t.Context()); err != nil || n[0].State != "stopping" {
		t.Errorf("nodes %+v: %v", n, err)
	}
}
