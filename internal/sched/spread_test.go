package sched

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

// known is model with a cost, so that steps can be predicted.
func known() job.Model {
	m := model()
	m.Heads, m.HeadDim, m.Layers = 40, 128, 40
	m.Cost.FFNDim = 13824
	return m
}

// racked has idle nodes of hosts of these sizes, two hosts to a rack, each host a process.
func racked(sizes ...int) View {
	v := view()
	v.Models = job.Models{known()}
	for h, n := range sizes {
		for i := range n {
			name := fmt.Sprintf("h%d-%d", h, i)
			host := fmt.Sprint("h", h)
			v.Nodes = append(v.Nodes, Node{ID: job.NodeID(name), Name: name, Process: host, Host: host,
				Rack: fmt.Sprint("r", h/2), Idle: true, Rated: 400e12, Models: []string{"demo"},
				Loaded: []string{"demo"}, Rates: topology.Rates{Process: 100e9, Net: 5e9}})
		}
	}
	return v
}

// queueClip adds 81 frames of 720p.
func queueClip(v *View, shards int) *Queued {
	q := v.queue("j", shards)
	q.Spec.Width, q.Spec.Height, q.Spec.Frames, q.Spec.DType = 1280, 720, 81, "bf16"
	return q
}

// hostsOf lists the hosts of ranks, each with its ranks.
func hostsOf(d Decision) (out []string) {
	for r, n := range d.Nodes {
		if r == 0 || n.Host != d.Nodes[r-1].Host {
			out = append(out, n.Host+":")
		}
		out[len(out)-1] += fmt.Sprint(r, " ")
	}
	return out
}

// TestSpread places jobs on hosts by the time of a step.
func TestSpread(t *testing.T) {
	for name, c := range map[string]struct {
		sizes []int
		fill  func(v *View)
		mesh  string
		hosts int
	}{
		"a sequence on each of two hosts": {[]int{8, 8, 8, 8}, func(v *View) { queueClip(v, 0) },
			"cfg=2,ulysses=8", 2},
		"hosts that are partly drained": {[]int{8, 8, 8, 8}, func(v *View) {
			queueClip(v, 8)
			for _, n := range v.Nodes[:12] {
				v.drain(n.ID)
			}
		}, "cfg=2,ulysses=4", 1},
		"the mesh that was asked for": {[]int{4, 4, 4, 4}, func(v *View) {
			queueClip(v, 0).Spec.Mesh = job.Mesh{CFG: 2, Ulysses: 4}
		}, "cfg=2,ulysses=4", 2},
		"an interface too slow to share a sequence": {[]int{2, 2, 2}, func(v *View) {
			queueClip(v, 0)
			for i := range v.Nodes {
				v.Nodes[i].Rates.Net = 0.1e9
			}
		}, "cfg=2,ulysses=2", 2},
	} {
		v := racked(c.sizes...)
		c.fill(&v)
		d := Decide(v)[0]
		if d.Action != Place || d.Mesh.String() != c.mesh || len(hostsOf(d)) != c.hosts {
			t.Errorf("%s: %s, on %v", name, told(d), hostsOf(d))
		}
		if !strings.Contains(d.Predicted, "s a step") || !strings.Contains(d.Where, "host") {
			t.Errorf("%s: it says %q and %q", name, d.Where, d.Predicted)
		}
	}
}

// TestSpreadKeepsToPreferences: rank 0 can write the format, and loaded models go first.
func TestSpreadKeepsToPreferences(t *testing.T) {
	v := racked(8, 8)
	queueClip(&v, 4).Spec.Format = "mp4"
	for i := range v.Nodes {
		v.Nodes[i].Formats = []string{"webm"}
	}
	v.Nodes[13].Formats = nil
	if d := Decide(v)[0]; d.Nodes[0].ID != "h1-5" {
		t.Errorf("the first rank cannot write: %s", told(d))
	}

	v = racked(8, 8)
	queueClip(&v, 4)
	for i := range v.Nodes {
		if i%4 > 0 {
			v.Nodes[i].Loaded = nil
		}
	}
	d := Decide(v)[0]
	if slices.ContainsFunc(d.Nodes, func(n *Node) bool { return !n.ready("demo") }) {
		t.Errorf("a node has to load the model: %s", told(d))
	}
}

// TestUnlabelledNodesAreAsBefore: without hosts, bytes decide.
func TestUnlabelledNodesAreAsBefore(t *testing.T) {
	v := racked(2, 2)
	queueClip(&v, 0)
	v.Nodes[3].Host = ""
	if d := Decide(v)[0]; d.Predicted != "" || len(d.Nodes) != 4 {
		t.Errorf("%s: %s", told(d), d.Predicted)
	}
}

// TestGrowthIsPredicted: a job moves to more hosts only where its steps then take less time.
func TestGrowthIsPredicted(t *testing.T) {
	for rate, want := range map[float64]Action{0.01e9: Keep, 200e9: Yield} {
		v := racked(4, 4)
		for i := range v.Nodes {
			v.Nodes[i].Rates.Net = rate
		}
		r := v.run("r", "h0-0", "h0-1", "h0-2", "h0-3")
		r.Spec.Width, r.Spec.Height, r.Spec.Frames = 1280, 720, 81
		r.Spec.GuidanceScale = 1
		r.Pace.Mean = time.Minute
		if d := Decide(v)[0]; d.Action != want {
			t.Errorf("at %g bytes a second: %s", rate, told(d))
		}
	}
}

// BenchmarkDecide places a job on up to 1,024 nodes.
func BenchmarkDecide(b *testing.B) {
	for _, hosts := range []int{4, 128} {
		v := racked(slices.Repeat([]int{8}, hosts)...)
		queueClip(&v, 0)
		b.Run(fmt.Sprint(len(v.Nodes), " nodes"), func(b *testing.B) {
			for b.Loop() {
				Decide(v)
			}
		})
	}
}

// TestGrowthOfLargeClustersIsLookedAtInTurn: within some seconds each job has its turn, and one
// that was asked to yield is looked at every time.
func TestGrowthOfLargeClustersIsLookedAtInTurn(t *testing.T) {
	v := racked(slices.Repeat([]int{8}, 10)...)
	for i := range v.Nodes {
		v.Nodes[i].Rates.Net = 200e9
	}
	r := v.run("r", "h0-0", "h0-1")
	r.Spec.Width, r.Spec.Height, r.Spec.Frames, r.Spec.GuidanceScale = 1280, 720, 81, 1
	r.Pace.Mean = time.Minute

	moves := 0
	for range growTurns {
		v.Now = v.Now.Add(time.Second)
		if Decide(v)[0].Action == Yield {
			moves++
		}
	}
	if moves != 1 {
		t.Errorf("it is to move in %d of %d seconds", moves, growTurns)
	}
	r.Asked = v.Now
	for range growTurns {
		v.Now = v.Now.Add(time.Second)
		if d := Decide(v)[0]; d.Action != Yield {
			t.Fatalf("once it was asked: %s", told(d))
		}
	}
}

// TestNewNodesAreNotTakenForFaster: clips show less speed than the product at the start, also on
// nodes that have made none.
func TestNewNodesAreNotTakenForFaster(t *testing.T) {
	v := racked(2, 2)
	v.Nodes[0].Speed, v.Nodes[1].Speed = 100e12, 100e12
	for i, s := range sitesOf(pointers(v.Nodes), func(*Node) int { return 0 }) {
		if s.Speed != 100e12 {
			t.Errorf("node %d has a speed of %g", i, s.Speed)
		}
	}
}

// pointers are to nodes of a view, as the scheduler has them.
func pointers(nodes []Node) []*Node {
	out := make([]*Node, len(nodes))
	for i := range nodes {
		out[i] = &nodes[i]
	}
	return out
}

// TestPairsStayWithinHostsThatAreFarApart places two pairs of shards for three windows, where
// speeds differ a little and messages between the hosts take 10 ms, which one shard of each knows.
func TestPairsStayWithinHostsThatAreFarApart(t *testing.T) {
	place := func(delay float64) []string {
		v := racked(2, 2)
		m := &v.Models[0]
		m.Heads, m.HeadDim, m.Layers, m.Cost.FFNDim = 8, 64, 6, 1536
		for i := range v.Nodes {
			n := &v.Nodes[i]
			n.Process, n.Rack = n.Name, ""
			n.Rated = []float64{20e9, 19e9, 20e9, 19.2e9}[i]
			n.Rates = topology.Rates{Host: 2e9, Net: 1e9}
			if i%2 == 0 {
				n.Delays.Net = delay
			}
		}
		q := v.queue("j", 0)
		q.Spec.Width, q.Spec.Height, q.Spec.Frames = 96, 96, 33
		q.Spec.Window, q.Spec.Overlap = 5, 2
		q.Spec.Mesh = job.Mesh{Window: 2, CFG: 1, Ulysses: 2}
		return hostsOf(Decide(v)[0])
	}
	if on := place(0.01); len(on) != 2 {
		t.Errorf("pairs are on both hosts, 10 ms apart: %v", on)
	}
	if on := place(0); len(on) == 2 {
		t.Errorf("without a delay nothing is gained by pairs across hosts: %v", on)
	}
}
