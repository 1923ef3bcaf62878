package shard

import (
	"testing"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// TestForgedOrdersAreRefusedByTheShard wants an order for what the model cannot make to be
// answered, and not to be tried.
func TestForgedOrdersAreRefusedByTheShard(t *testing.T) {
	folder, err := OpenModel(golden.Root("testdata", "golden", "tiny3"))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	info, err := engine.Describe(folder)
	if err != nil {
		t.Fatal(err)
	}
	s := &Shard{models: []*served{{folder: folder, info: info}}}
	good, err := info.Resolve(request(5, 2, 1, job.Mesh{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	order := func(spoil func(*job.Plan)) wire.StartOrder {
		o := wire.StartOrder{Plan: job.Plan{Job: "j", Attempt: 1, Spec: good, Nodes: []job.NodeID{"n"},
			Mesh: job.Mesh{CFG: 1, Ulysses: 1}}}
		spoil(&o.Plan)
		return o
	}
	if err := s.checkOrder(order(func(*job.Plan) {})); err != nil {
		t.Fatalf("a good order: %v", err)
	}
	for name, spoil := range map[string]func(*job.Plan){
		"no width":          func(p *job.Plan) { p.Spec.Width = 0 },
		"a strange width":   func(p *job.Plan) { p.Spec.Width++ },
		"minus frames":      func(p *job.Plan) { p.Spec.Frames = -5 },
		"frames in between": func(p *job.Plan) { p.Spec.Frames++ },
		"another model":     func(p *job.Plan) { p.Spec.Model = "x" },
		"more ranks than heads": func(p *job.Plan) {
			p.Mesh.Ulysses = info.Heads + 1
		},
		"groups without windows": func(p *job.Plan) { p.Mesh.Window = 2 },
	} {
		if s.checkOrder(order(spoil)) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
