package shard

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// checker is a shard of a locked cluster that can check orders and nothing else, and an order that
// it takes.
func checker(t testing.TB) (*Shard, job.Model, wire.StartOrder) {
	t.Helper()
	folder, err := OpenModel(golden.Root("testdata", "golden", "tiny3"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	info, err := engine.Describe(folder)
	if err != nil {
		t.Fatal(err)
	}
	good, err := info.Resolve(request(5, 2, 1, job.Mesh{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	own, other := wire.NewNodeID("gpu-1", "A"), wire.NewNodeID("gpu-2", "B")
	s := &Shard{id: own, nc: &control{identity: "gpu-1"},
		models: []*served{{folder: folder, info: info}}}
	o := wire.StartOrder{Key: collective.Key{1}, Plan: job.Plan{Job: "j", Attempt: 1, Spec: good,
		Nodes: []job.NodeID{own, other}, Mesh: job.Mesh{CFG: 2, Ulysses: 1}},
		Members: []wire.Member{{Node: own, Name: "a", Identity: "gpu-1"},
			{Node: other, Name: "b", Route: "nats-route://b:1", Identity: "gpu-2"}}}
	return s, info, o
}

// take reads and checks an order as onStart does.
func (s *Shard) take(data []byte) (wire.StartOrder, error) {
	o, err := wire.Decode[wire.StartOrder](data)
	if err == nil {
		err = s.checkOrder(o)
	}
	return o, err
}

// TestForgedOrdersAreRefusedByTheShard wants an order for what the model cannot make, or for
// another node, to be answered, and not to be tried.
func TestForgedOrdersAreRefusedByTheShard(t *testing.T) {
	s, info, good := checker(t)
	if _, err := s.take(wire.Encode(good)); err != nil {
		t.Fatalf("a good order: %v", err)
	}
	for name, spoil := range map[string]func(*wire.StartOrder){
		"no width":          func(o *wire.StartOrder) { o.Plan.Spec.Width = 0 },
		"a strange width":   func(o *wire.StartOrder) { o.Plan.Spec.Width++ },
		"minus frames":      func(o *wire.StartOrder) { o.Plan.Spec.Frames = -5 },
		"frames in between": func(o *wire.StartOrder) { o.Plan.Spec.Frames++ },
		"another model":     func(o *wire.StartOrder) { o.Plan.Spec.Model = "x" },
		"more ranks than heads": func(o *wire.StartOrder) {
			o.Plan.Mesh.Ulysses = info.Heads + 1
		},
		"groups without windows":   func(o *wire.StartOrder) { o.Plan.Mesh.Window = 2 },
		"no key":                   func(o *wire.StartOrder) { o.Key = collective.Key{} },
		"another node's rank":      func(o *wire.StartOrder) { o.Rank = 1 },
		"a member of no identity":  func(o *wire.StartOrder) { o.Members[1].Identity = "" },
		"a member of another's":    func(o *wire.StartOrder) { o.Members[1].Identity = "gpu-1" },
		"a route to a web page":    func(o *wire.StartOrder) { o.Members[1].Route = "http://b:1" },
		"a route with a path":      func(o *wire.StartOrder) { o.Members[1].Route += "/x" },
		"a member that is missing": func(o *wire.StartOrder) { o.Members = o.Members[:1] },
		"a node that is missing":   func(o *wire.StartOrder) { o.Plan.Nodes = o.Plan.Nodes[:1] },
		"a part of no size": func(o *wire.StartOrder) {
			o.Plan.Parts = map[string]job.Object{"text.0": {Name: "x", Size: -1}}
		},
	} {
		o := good
		o.Members, o.Plan.Nodes = append([]wire.Member{}, o.Members...),
			append([]job.NodeID{}, o.Plan.Nodes...)
		spoil(&o)
		if _, err := s.take(wire.Encode(o)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// hostile is what a forger would put anywhere in an order.
var hostile = []any{nil, true, "", "x", "../x", "a.b", "*", ">", "nats-route://x:1", "http://x:1",
	"\x00", strings.Repeat("x", 5000), 0.0, -1.0, 1.0, 2.0, 0.5, 1e9, 1e18, -1e18, 1e300, 4096.0,
	[]any{}, map[string]any{}, []any{map[string]any{}, map[string]any{}}}

// spoil replaces one value somewhere in a JSON tree.
func spoil(t *rapid.T, v any) any {
	if rapid.IntRange(0, 4).Draw(t, "here") == 0 {
		return rapid.SampledFrom(hostile).Draw(t, "hostile")
	}
	switch v := v.(type) {
	case map[string]any:
		if key := anyKey(t, v); key != "" {
			v[key] = spoil(t, v[key])
		}
		return v
	case []any:
		if len(v) > 0 {
			i := rapid.IntRange(0, len(v)-1).Draw(t, "element")
			v[i] = spoil(t, v[i])
		}
		return v
	}
	return rapid.SampledFrom(hostile).Draw(t, "hostile")
}

// anyKey draws a field that is there.
func anyKey(t *rapid.T, m map[string]any) string {
	if len(m) == 0 {
		return ""
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(m))).Draw(t, "field")
}

// holds checks what must be true of every order that a shard takes.
func (s *Shard) holds(info job.Model, o wire.StartOrder) string {
	switch {
	case info.CheckSpec(o.Plan.Spec) != nil:
		return "a request could not ask for it"
	case o.Members[o.Rank].Node != s.id:
		return "it is for another node"
	case o.Key.IsZero():
		return "it has no key"
	case o.Plan.Mesh.Size() != len(o.Members):
		return "the mesh does not fit the members"
	}
	for _, m := range o.Members {
		if m.Route != "" && !strings.HasPrefix(m.Route, "nats-route://") ||
			!wire.Owns(m.Identity, m.Node) {
			return "a member is no node"
		}
	}
	return ""
}

// TestOrdersAreTakenOnlyWhole spoils orders in any places: no panic, and what is taken is an order.
func TestOrdersAreTakenOnlyWhole(t *testing.T) {
	s, info, good := checker(t)
	rapid.Check(t, func(t *rapid.T) {
		var tree any
		if err := json.Unmarshal(wire.Encode(good), &tree); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 3).Draw(t, "places") {
			tree = spoil(t, tree)
		}
		data, err := json.Marshal(tree)
		if err != nil {
			t.Skip()
		}
		if o, err := s.take(data); err == nil {
			if why := s.holds(info, o); why != "" {
				t.Fatalf("%s: %s", why, data)
			}
		}
	})
}
