package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/topology"
)

// TestPlanOnHosts prints the plan of a clip for the shards of two hosts, and of a third that is
// drained.
func TestPlanOnHosts(t *testing.T) {
	m := job.Model{Name: "wan", Heads: 40, HeadDim: 128, Layers: 40, Patch: [3]int{1, 2, 2},
		LatentChannels: 16, TemporalScale: 4, SpatialScale: 8, Cost: job.Cost{FFNDim: 13824}}
	s := job.Spec{Width: 1280, Height: 720, Frames: 81, Steps: 50, GuidanceScale: 5, DType: "bf16"}
	var nodes []schema.Node
	for i := range 12 {
		host := fmt.Sprint("gpu", i/4)
		n := schema.Node{Name: fmt.Sprint("s", i), Host: host, Process: host, Speed: 400e12,
			Rates: topology.Rates{Process: 200e9, Net: 1e9}, State: "idle"}
		if i >= 8 {
			n.State = "drained"
		}
		nodes = append(nodes, n)
	}

	var out strings.Builder
	p := placing{m, s, sitesOf(nodes)}
	if err := printPlan(&out, p, 8, false); err != nil {
		t.Fatal(err)
	}
	p.printBest(&out, 12)
	for _, want := range []string{"TIME OF A STEP", "4.12 s", "of up to 12 shards",
		"2 hosts: gpu0 (4), gpu1 (4): cfg=2,ulysses=4", "sequences are shared within a process",
		"branches meet between hosts"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, out.String())
		}
	}
}

// TestSplittable is what a plan takes of a cluster's shards where nobody says how many.
func TestSplittable(t *testing.T) {
	m := job.Model{Heads: 8, Patch: [3]int{1, 2, 2}, TemporalScale: 4, SpatialScale: 8}
	s := job.Spec{Width: 64, Height: 64, Frames: 33, Steps: 50, GuidanceScale: 5}
	for n, want := range map[int]int{0: 2, 1: 1, 3: 3, 16: 16, 400: 16} {
		if got := splittable(plan.Load(m, s), n); got != want {
			t.Errorf("of %d shards: %d; want %d", n, got, want)
		}
	}
}
