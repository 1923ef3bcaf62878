package sched

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// TestGrowth moves a running job to free nodes where that pays.
func TestGrowth(t *testing.T) {
	const pays = "1 is idle; moving from 2 to 3 shards would save 23s and cost 6s, so it moves"
	for name, c := range map[string]struct {
		fill func(v *View, r *Running)
		want string
	}{
		"it pays": {func(*View, *Running) {}, "r: yield grown, " + pays},
		"the setup takes too long": {func(_ *View, r *Running) { r.Pace.Setup = 20 * time.Second },
			"r: keep, 1 is idle; moving from 2 to 3 shards would save 23s and cost 25s, so it stays"},
		"the steps are short": {func(_ *View, r *Running) {
			r.Pace.Setup, r.Pace.Mean = 0, 10*time.Millisecond
		}, "r: keep, 1 is idle; moving from 2 to 3 shards would save 20ms and cost 10ms, so it stays"},
		"no step is measured":        {func(_ *View, r *Running) { r.Pace.Mean = 0 }, "r: keep"},
		"only an earlier attempt is": {func(_ *View, r *Running) { r.Attempt = 2 }, "r: keep"},
		"no mesh has more ranks":     {func(v *View, r *Running) { v.Models[0].Heads = 1 }, "r: keep"},
		"it asked for no more":       {func(_ *View, r *Running) { r.Spec.Shards = 2 }, "r: keep"},
		"it is cancelled":            {func(_ *View, r *Running) { r.CancelRequested = true }, "r: keep"},
		"the free node drains":       {func(v *View, _ *Running) { v.drain("c") }, "r: keep"},
		"no boundary is left":        {func(_ *View, r *Running) { r.Progress.Done = 9 }, "r: keep"},
		"it decodes":                 {func(_ *View, r *Running) { r.Progress.Stage = job.StageDecode }, "r: keep"},
	} {
		t.Run(name, func(t *testing.T) {
			v := view("a", "b", "c")
			r := v.run("r", "a", "b")
			c.fill(&v, r)
			expect(t, v, c.want)
		})
	}
}

// TestOneJobGrowsAtATime, and none while another waits for the nodes.
func TestOneJobGrowsAtATime(t *testing.T) {
	v := view("a", "b", "c")
	v.run("r", "a")
	v.run("s", "b")
	expect(t, v, "r: yield grown, 1 is idle; moving from 1 to 2 shards would save 35s and cost 6s, "+
		"so it moves", "s: keep")
	v.queue("j", 2)
	expect(t, v, "j: wait, waits for 2 shards, 1 is of 3 idle", "r: keep", "s: keep")
}

// long is a clip of 40 windows that runs on two groups of them.
func long(v *View) *Running {
	r := v.run("r", "a", "b")
	r.Spec.Frames, r.Spec.Window, r.Spec.Overlap = 961, 9, 3
	r.Plan.Mesh = job.Mesh{Window: 2, CFG: 1, Ulysses: 1}
	r.Progress.Done, r.Pace.Done = 4, 4
	return r
}

// TestRebalance restarts a job whose nodes differ in speed.
func TestRebalance(t *testing.T) {
	const why = "r: yield rebalanced, its shards differ in speed: sharing its windows unevenly " +
		"saves 25s and costs 6s"
	for name, c := range map[string]struct {
		fill func(v *View, r *Running)
		want string
	}{
		"a slow shard":     {func(*View, *Running) {}, why},
		"too early":        {func(_ *View, r *Running) { r.Pace.Done = 2 }, "r: keep"},
		"too late":         {func(_ *View, r *Running) { r.Pace.Done = 8 }, "r: keep"},
		"a long setup":     {func(_ *View, r *Running) { r.Pace.Setup = 10 * time.Second }, "r: keep"},
		"it is uneven":     {func(_ *View, r *Running) { r.Plan.Shares = []float64{3, 1} }, "r: keep"},
		"speeds are alike": {func(v *View, _ *Running) { v.Nodes[0].Speed = 1.2e9 }, "r: keep"},
		"a bit slower":     {func(v *View, _ *Running) { v.Nodes[0].Speed = 1.3e9 }, "r: keep"},
		"one is not known": {func(v *View, _ *Running) { v.Nodes[1].Speed = 0 }, "r: keep"},
		"one is gone":      {func(v *View, _ *Running) { v.Nodes = v.Nodes[:1] }, "r: keep"},
		"nothing measured": {func(_ *View, r *Running) { r.Pace.Mean = 0 }, "r: keep"},
		"ranks share a pass": {func(_ *View, r *Running) {
			r.Plan.Mesh = job.Mesh{CFG: 1, Ulysses: 2}
		}, "r: keep"},
	} {
		t.Run(name, func(t *testing.T) {
			v := view("a", "b")
			v.Nodes[0].Speed = 3e9
			c.fill(&v, long(&v))
			if n := len(plan.Load(v.Models[0], v.Running[0].Spec).Windows(0)); n != 40 {
				t.Fatalf("%d windows", n)
			}
			expect(t, v, c.want)
		})
	}
}

// TestAPlacementFollowsKnownSpeeds gives the plan of a new attempt the speeds of its window groups.
func TestAPlacementFollowsKnownSpeeds(t *testing.T) {
	v := view("a", "b")
	v.Nodes[0].Speed = 3e9
	q := v.queue("j", 0)
	q.Spec.Frames, q.Spec.Window, q.Spec.Overlap = 961, 9, 3
	q.Spec.Mesh = job.Mesh{Window: 2, CFG: 1, Ulysses: 1}
	d := Decide(v)
	if len(d) != 1 || !slices.Equal(d[0].Shares, []float64{3e9, 1e9}) {
		t.Errorf("%+v", d)
	}
}

func TestGroupSpeeds(t *testing.T) {
	f := func(m job.Mesh, want []float64, speeds ...float64) {
		t.Helper()
		nodes := make([]*Node, len(speeds))
		for i, s := range speeds {
			nodes[i] = &Node{Speed: s}
		}
		if got := groupSpeeds(m, nodes); !slices.Equal(got, want) {
			t.Errorf("%v with %v: %v, want %v", m, speeds, got, want)
		}
	}
	f(job.Mesh{Window: 2, CFG: 1, Ulysses: 1}, []float64{4, 1}, 4, 1)
	f(job.Mesh{Window: 2, CFG: 2, Ulysses: 1}, []float64{3, 1}, 4, 3, 1, 2)
	f(job.Mesh{Window: 2, CFG: 1, Ulysses: 1}, nil, 1.2, 1)
	f(job.Mesh{Window: 2, CFG: 1, Ulysses: 1}, nil, 4, 0)
	f(job.Mesh{Window: 2, CFG: 1, Ulysses: 2}, nil, 4, 4, 1, 1)
	f(job.Mesh{CFG: 2, Ulysses: 1}, nil, 4, 1)
}

func TestUnevenSharesAreFaster(t *testing.T) {
	speeds := []float64{3, 1}
	if a, b := busiest(40, speeds, nil), busiest(40, speeds, speeds); a != 20 || b != 10 {
		t.Errorf("even %v, uneven %v", a, b)
	}
}

// TestRanksAreTogether picks nodes, which are written as the process that they are of, in the order
// of their names.
func TestRanksAreTogether(t *testing.T) {
	for _, c := range []struct {
		from string
		n    int
		want string
	}{
		{"abcd", 1, "a"}, {"abcd", 3, "abc"}, // a process each: by name
		{"aab", 1, "b"}, {"aab", 2, "aa"}, // the smallest that has enough
		{"abba", 2, "aa"}, {"aaabb", 2, "bb"}, {"aaabbccc", 3, "aaa"},
		{"abba", 3, "aab"}, {"abbbcc", 5, "bbbcc"}, {"abcabcc", 6, "cccaab"}, // as few as possible
	} {
		var free []*Node
		for _, process := range c.from {
			free = append(free, &Node{Process: string(process), Formats: []string{"webm"}})
		}
		var got strings.Builder
		for _, n := range pick(free, c.n, "webm") {
			got.WriteString(n.Process)
		}
		if got.String() != c.want {
			t.Errorf("%d of %s: %s; want %s", c.n, c.from, got.String(), c.want)
		}
	}
}

// TestPace follows the reports of two attempts.
func TestPace(t *testing.T) {
	var p Pace
	at := start
	report := func(after time.Duration, a job.Attempt, s job.Stage, done int) {
		at = at.Add(after)
		p.Advance(job.Progress{Attempt: a, Stage: s, Done: done}, at)
	}
	report(0, 1, job.StageText, 0)
	report(2*time.Second, 1, job.StageDenoise, 0)
	report(8*time.Second, 1, job.StageDenoise, 2) // two steps at once
	report(time.Second, 1, job.StageDenoise, 2)   // no advance
	report(7*time.Second, 1, job.StageDenoise, 3)
	if p.Setup != 2*time.Second || p.Mean != 5*time.Second || p.Slowest != 8*time.Second {
		t.Errorf("first attempt: %+v", p)
	}
	report(time.Second, 1, job.StageDecode, 0)
	if p.Slowest != 0 || p.Mean != 5*time.Second {
		t.Errorf("decoding: %+v", p)
	}
	report(time.Second, 2, job.StageText, 0)
	if p.Attempt != 2 || p.Mean != 0 || p.Placed != at {
		t.Errorf("second attempt: %+v", p)
	}
}

// TestQuietViewsNeedNoNodes decides the same without the nodes, for a view that is quiet.
func TestQuietViewsNeedNoNodes(t *testing.T) {
	r := Running{Record: &job.Record{ID: "r", State: job.Running, Attempt: 1,
		Spec: job.Spec{Shards: 1}, Plan: job.Plan{Nodes: []job.NodeID{"a"},
			Mesh: job.Mesh{CFG: 1, Ulysses: 1}}}, Pace: Pace{Attempt: 1, Mean: time.Minute}}
	v := View{Running: []Running{r}, Draining: map[job.NodeID]string{"a": "a"},
		Nodes: []Node{{ID: "a"}, {ID: "b", Idle: true}}}
	bare := v
	bare.Nodes = nil
	got, want := Decide(bare), Decide(v)
	if !Quiet(v) || got[0].Action != Yield || got[0].Cause != Drained || got[0].Why != want[0].Why {
		t.Errorf("quiet: %v; %+v, want %+v", Quiet(v), got, want)
	}

	// A job that waits, or that asked for more than it has, is a matter of nodes.
	more := v
	more.Running = []Running{r}
	more.Running[0].Spec.Shards = 2
	v.Queued = []Queued{{Record: &job.Record{ID: "q", State: job.Queued}}}
	if Quiet(v) || Quiet(more) {
		t.Errorf("quiet with a queue: %v, with a job that may grow: %v", Quiet(v), Quiet(more))
	}
}
