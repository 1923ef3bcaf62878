package sched

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// start is when the views of the tests are taken.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// model has 6 heads; a clip of its own size is guided, so that it can run on 1 to 12 nodes.
func model() job.Model {
	return job.Model{Name: "demo", Heads: 6, HeadDim: 32, Layers: 8, Patch: [3]int{1, 2, 2},
		LatentChannels: 16, TemporalScale: 4, SpatialScale: 8}
}

func spec() job.Spec {
	return job.Spec{Model: "demo", Width: 96, Height: 64, Frames: 33, Steps: 10, GuidanceScale: 4,
		DType: "fp32", Format: "webm"}
}

// view has idle nodes of these names, each a process of its own, and room for everything.
func view(names ...string) View {
	v := View{Now: start, Models: job.Models{model()}, Draining: map[job.NodeID]string{},
		Store: Store{Open: true, Room: 1 << 40}, LostAfter: 3 * time.Second, YieldWithin: time.Minute}
	for _, n := range names {
		v.Nodes = append(v.Nodes, Node{ID: job.NodeID(n), Name: n, Process: n, Idle: true, Speed: 1e9,
			Models: []string{"demo"}, Loaded: []string{"demo"}})
	}
	return v
}

// queue adds a job that waits for a number of nodes; 0: as many as pay.
func (v *View) queue(id job.ID, shards int) *Queued {
	q := Queued{Record: &job.Record{ID: id, State: job.Queued, Spec: spec()}, SinceLoss: time.Hour}
	q.Spec.Shards = shards
	v.Queued = append(v.Queued, q)
	return &v.Queued[len(v.Queued)-1]
}

// run adds a job that has done 2 of 10 steps on the nodes, 10 s each, after a setup of 1 s.
func (v *View) run(id job.ID, nodes ...job.NodeID) *Running {
	r := Running{Record: &job.Record{ID: id, State: job.Running, Attempt: 1, Spec: spec()}}
	r.Plan = job.Plan{Job: id, Attempt: 1, Nodes: nodes, Mesh: job.Mesh{CFG: 1, Ulysses: len(nodes)}}
	r.Progress = job.Progress{Job: id, Attempt: 1, Stage: job.StageDenoise, Done: 2, Total: 10}
	r.Pace = Pace{Attempt: 1, Stage: job.StageDenoise, Done: 2, Setup: time.Second,
		Mean: 10 * time.Second}
	for i, n := range v.Nodes {
		if slices.Contains(nodes, n.ID) {
			v.Nodes[i].Idle, v.Nodes[i].Job = false, id
		}
	}
	v.Running = append(v.Running, r)
	return &v.Running[len(v.Running)-1]
}

func (v *View) drain(id job.NodeID) { v.Draining[id] = string(id) }

// told is a decision in a line.
func told(d Decision) string {
	action := [...]string{"place", "wait", "fail", "keep", "yield", "stop"}[d.Action]
	switch d.Action {
	case Place:
		text := fmt.Sprintf("%s: place %s on", d.Job.ID, d.Mesh)
		for _, n := range d.Nodes {
			text += " " + string(n.ID)
		}
		return text
	case Yield, Stop:
		cause := [...]string{"drained", "spent", "preempted", "rebalanced", "grown"}[d.Cause]
		action += " " + cause
	}
	return strings.TrimSuffix(fmt.Sprintf("%s: %s, %s", d.Job.ID, action, d.Why), ", ")
}

// expect compares all decisions on a view.
func expect(t *testing.T, v View, want ...string) {
	t.Helper()
	var got []string
	for _, d := range Decide(v) {
		got = append(got, told(d))
	}
	if !slices.Equal(got, want) {
		t.Errorf("decided\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestPlacement places what can run, in the order of priority and age.
func TestPlacement(t *testing.T) {
	for name, c := range map[string]struct {
		nodes string
		fill  func(v *View)
		want  []string
	}{
		"as many nodes as pay": {"abc", func(v *View) { v.queue("j", 0) },
			[]string{"j: place cfg=1,ulysses=3 on a b c"}},
		"as many as asked": {"abc", func(v *View) { v.queue("j", 2) },
			[]string{"j: place cfg=2,ulysses=1 on a b"}},
		"the mesh that was asked for": {"abc", func(v *View) {
			v.queue("j", 0).Spec.Mesh = job.Mesh{CFG: 1, Ulysses: 2}
		}, []string{"j: place cfg=1,ulysses=2 on a b"}},
		"two jobs side by side": {"abc", func(v *View) { v.queue("j", 2); v.queue("k", 1) },
			[]string{"j: place cfg=2,ulysses=1 on a b", "k: place cfg=1,ulysses=1 on c"}},
		"the higher priority first": {"a", func(v *View) {
			v.queue("j", 1)
			v.queue("k", 1).Spec.Priority = 1
		}, []string{"k: place cfg=1,ulysses=1 on a", "j: wait, waits for 1 shard, 0 are of 1 idle"}},
		"equal priorities by age": {"a", func(v *View) {
			v.queue("j", 1).Spec.Priority = 1
			v.queue("k", 1).Spec.Priority = 1
		}, []string{"j: place cfg=1,ulysses=1 on a", "k: wait, waits for 1 shard, 0 are of 1 idle"}},
		"no mesh fits": {"abcdefgh", func(v *View) {
			v.queue("j", 7).Spec.GuidanceScale = 1
			v.queue("k", 1)
		}, []string{"j: fail, 6 (6 heads, 216 tokens cannot be shared by 7)",
			"k: place cfg=1,ulysses=1 on a"}},
		"only draining nodes": {"ab", func(v *View) { v.queue("j", 0); v.drain("a"); v.drain("b") },
			[]string{"j: wait, waits for a shard to register"}},
		"a draining node is left out": {"ab", func(v *View) { v.queue("j", 0); v.drain("a") },
			[]string{"j: place cfg=1,ulysses=1 on b"}},
		"a node of a plan that has not said so yet": {"ab", func(v *View) {
			v.run("r", "a").Spec.Steps = 3
			v.Nodes[0].Idle = true
			v.queue("j", 0)
		}, []string{"j: place cfg=1,ulysses=1 on b", "r: keep"}},
		"rank 0 can write the format": {"abc", func(v *View) {
			v.queue("j", 2).Spec.Format = "mp4"
			v.Nodes[0].Formats, v.Nodes[1].Formats = []string{"webm"}, []string{"webm"}
		}, []string{"j: place cfg=2,ulysses=1 on c a"}},
		"blamed nodes come last": {"abc", func(v *View) {
			v.queue("j", 2).Blamed = map[job.NodeID]bool{"a": true}
			v.queue("k", 1)
		}, []string{"j: place cfg=2,ulysses=1 on b c", "k: place cfg=1,ulysses=1 on a"}},
		"a blamed node where it is needed": {"ab", func(v *View) {
			v.queue("j", 2).Blamed = map[job.NodeID]bool{"a": true}
		}, []string{"j: place cfg=2,ulysses=1 on a b"}},
		"after a loss, on what there is": {"ab", func(v *View) { v.queue("j", 4).Attempt = 1 },
			[]string{"j: place cfg=2,ulysses=1 on a b"}},
		"after a loss, on no more than asked": {"abcd", func(v *View) { v.queue("j", 2).Attempt = 1 },
			[]string{"j: place cfg=2,ulysses=1 on a b"}},
		"after a loss, the mesh again if it fits": {"abcd", func(v *View) {
			q := v.queue("j", 0)
			q.Attempt, q.Spec.Mesh = 1, job.Mesh{CFG: 1, Ulysses: 4}
		}, []string{"j: place cfg=1,ulysses=4 on a b c d"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := view(strings.Split(c.nodes, "")...)
			c.fill(&v)
			expect(t, v, c.want...)
		})
	}
}

// TestWaiting says what a job waits for, and whether the job behind it may pass.
func TestWaiting(t *testing.T) {
	const passes, turn = "k: place cfg=1,ulysses=1 on a", "k: wait, waits for its turn"
	for name, c := range map[string]struct {
		fill   func(v *View, q *Queued)
		why    string // of j, which comes first
		behind string // k, which needs one node
	}{
		"more shards than are registered": {func(_ *View, q *Queued) { q.Spec.Shards = 4 },
			"waits for 4 shards, 3 are registered", passes},
		"a format that nobody writes": {func(v *View, q *Queued) {
			q.Spec.Format = "mp4"
			for i := range v.Nodes {
				v.Nodes[i].Formats = []string{"webm"}
			}
		}, "waits for a shard that can write mp4", passes},
		"lost twice at once": {func(_ *View, q *Queued) {
			q.Attempt, q.SinceLoss = 2, 150*time.Millisecond
			q.Losses = []job.Loss{{Attempt: 1}, {Attempt: 2}}
		}, "waits a moment, since attempt 2 was lost at once", passes},
		"an earlier attempt stops": {func(v *View, q *Queued) {
			q.Attempt, q.SinceLoss = 1, time.Second
			v.Nodes[2].Idle, v.Nodes[2].Job = false, "j"
		}, "waits for the shards of attempt 1 to stop", turn},
		"busy shards": {func(v *View, q *Queued) {
			q.Spec.Shards = 3
			v.Nodes[1].Idle = false
		}, "waits for 3 shards, 2 are of 3 idle", turn},
		"the only writer is busy": {func(v *View, q *Queued) {
			q.Spec.Format = "mp4"
			v.Nodes[0].Formats, v.Nodes[1].Formats = []string{"webm"}, []string{"webm"}
			v.Nodes[2].Idle = false
		}, "waits for an idle shard that can write mp4", turn},
		"only blamed shards are idle": {func(v *View, q *Queued) {
			q.Attempt, q.Blamed = 1, map[job.NodeID]bool{"a": true, "b": true}
			v.Nodes[2].Idle = false
		}, "waits for a shard on which it has not failed", turn},
		"after a change of leader": {func(v *View, q *Queued) {
			q.Spec.Shards, v.GraceUntil = 0, v.Now.Add(time.Second)
		}, "waits for the shards to register again", turn},
		"more than the store has room for": {func(v *View, q *Queued) {
			q.Needs, v.Store.Room = 3e6, 2e6
		}, "waits for room: it takes about 3.0 MB more of the object store, and 2.0 MB are left", turn},
	} {
		t.Run(name, func(t *testing.T) {
			v := view("a", "b", "c")
			v.queue("j", 2)
			v.queue("k", 1)
			c.fill(&v, &v.Queued[0])
			expect(t, v, "j: wait, "+c.why, c.behind)
		})
	}
}

// TestNothingIsPlacedWithoutAStore lets all jobs wait.
func TestNothingIsPlacedWithoutAStore(t *testing.T) {
	v := view("a")
	v.queue("j", 1)
	v.Store.Full = "the disk is full"
	expect(t, v, "j: wait, waits for room: the disk is full")
	v.Store.Open = false
	expect(t, v, "j: wait, waits for the object store")
}

// TestRoomIsTakenByWhatIsPlaced lets the second of two jobs wait for the room that the first takes.
func TestRoomIsTakenByWhatIsPlaced(t *testing.T) {
	v := view("a", "b")
	v.queue("j", 1).Needs = 6e6
	v.queue("k", 1).Needs = 6e6
	v.Store.Room = 10e6
	expect(t, v, "j: place cfg=1,ulysses=1 on a", "k: wait, waits for room: it takes about 6.0 MB "+
		"more of the object store, and 4.0 MB are left")
}

// TestPreemption has an urgent job wait for nodes of running ones.
func TestPreemption(t *testing.T) {
	const waits = "u: wait, waits for 2 shards, 0 are of 3 idle"
	const why = "job u of priority 5 takes its shards"
	for name, c := range map[string]struct {
		fill func(v *View)
		want []string
	}{
		"the lowest priority": {func(v *View) {
			v.run("r", "a", "b").Spec.Priority = 1
			v.run("s", "c").Spec.Priority = 2
		}, []string{waits, "r: yield preempted, " + why, "s: keep"}},
		"of equal ones the latest": {func(v *View) {
			v.run("r", "a")
			v.run("s", "b", "c")
		}, []string{waits, "r: keep", "s: yield preempted, " + why}},
		"as many as it takes": {func(v *View) { v.run("r", "a"); v.run("s", "b"); v.run("w", "c") },
			[]string{waits, "r: keep", "s: yield preempted, " + why, "w: yield preempted, " + why}},
		"none of its own priority": {func(v *View) {
			v.run("r", "a", "b").Spec.Priority = 5
			v.run("s", "c")
		}, []string{waits, "r: keep", "s: keep"}},
		"none that is almost done": {func(v *View) {
			v.run("r", "a", "b").Progress.Done = 9
			v.run("s", "c")
		}, []string{waits, "r: keep", "s: keep"}},
		"none that decodes": {func(v *View) {
			v.run("r", "a", "b").Progress.Stage = job.StageDecode
			v.run("s", "c")
		}, []string{waits, "r: keep", "s: keep"}},
		"none that is cancelled": {func(v *View) {
			v.run("r", "a", "b").CancelRequested = true
			v.run("s", "c")
		}, []string{waits, "r: keep", "s: keep"}},
		"in mid-step when the boundary is too far": {func(v *View) {
			v.run("r", "a", "b").Asked = v.Now.Add(-v.YieldWithin)
			v.run("s", "c").Spec.Priority = 1
		}, []string{waits, "r: stop preempted, " + why + ", in the middle of a long step", "s: keep"}},
		"not in mid-step before": {func(v *View) {
			v.run("r", "a", "b").Asked = v.Now.Add(-v.YieldWithin + 1)
			v.run("s", "c").Spec.Priority = 1
		}, []string{waits, "r: yield preempted, " + why, "s: keep"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := view("a", "b", "c")
			v.queue("u", 2).Spec.Priority = 5
			c.fill(&v)
			expect(t, v, c.want...)
		})
	}
}

// TestPreemptionIsForTheFirstInTheQueue stops nothing for a job behind one that waits.
func TestPreemptionIsForTheFirstInTheQueue(t *testing.T) {
	v := view("a", "b")
	v.run("r", "a").Spec.Priority = 4
	v.queue("u", 2).Spec.Priority = 4
	v.queue("w", 2).Spec.Priority = 3
	v.run("s", "b").Spec.Priority = 2
	expect(t, v, "u: wait, waits for 2 shards, 0 are of 2 idle",
		"w: wait, waits for 2 shards, 0 are of 2 idle", "r: keep", "s: keep")
}

// TestPreemptionTakesANodeThatWrites stops a job although nodes enough are free, since only its
// node can write the format.
func TestPreemptionTakesANodeThatWrites(t *testing.T) {
	v := view("a", "b", "c")
	u := v.queue("u", 1)
	u.Spec.Priority, u.Spec.Format = 1, "mp4"
	for i := range 2 {
		v.Nodes[i].Formats = []string{"webm"}
	}
	v.run("r", "c")
	expect(t, v, "u: wait, waits for an idle shard that can write mp4",
		"r: yield preempted, job u of priority 1 takes its shards")
}

// TestDraining moves a job off a node that gets no more work, whatever else might move it.
func TestDraining(t *testing.T) {
	v := view("a", "b", "c")
	v.run("r", "a", "b")
	v.drain("b")
	expect(t, v, "r: yield drained, node b (rank 1) is being drained")

	v.queue("u", 3).Spec.Priority = 1
	expect(t, v, "u: wait, waits for 3 shards, 2 are registered",
		"r: yield drained, node b (rank 1) is being drained")

	v.Running[0].Progress.Done = 9
	expect(t, v, "u: wait, waits for 3 shards, 2 are registered", "r: keep")
}
