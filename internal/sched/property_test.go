package sched

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/job"
)

// modelNames are those of a view.
var modelNames = []string{"demo", "x", "y"}

// drawView makes any view of up to 6 nodes, but for two live plans on one node, which the log does
// not allow.
func drawView(t *rapid.T) View {
	names := []string{"a", "b", "c", "d", "e", "f"}
	cost := rapid.SampledFrom([]int{0, 512}).Draw(t, "cost")
	v := view(names[:rapid.IntRange(0, len(names)).Draw(t, "nodes")]...)
	for _, name := range modelNames[1:] {
		m := model()
		m.Name = name
		v.Models = append(v.Models, m)
	}
	for i := range v.Models {
		v.Models[i].Cost.FFNDim = cost
	}
	v.GraceUntil = start.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "grace")))
	v.Store.Open = rapid.IntRange(0, 9).Draw(t, "store") > 0
	v.Store.Room = rapid.Int64Range(-1, 20).Draw(t, "room")
	for i := range v.Nodes {
		n := &v.Nodes[i]
		n.Process = rapid.SampledFrom([]string{"p", "q", n.Name}).Draw(t, "process")
		n.Formats = rapid.SampledFrom([][]string{nil, {"webm"}, {"webm", "mp4"}}).Draw(t, "formats")
		n.Host = rapid.SampledFrom([]string{"h1", "h1", "h2", ""}).Draw(t, "host")
		n.Rack = rapid.SampledFrom([]string{"", "r"}).Draw(t, "rack")
		n.Rated = rapid.SampledFrom([]float64{1e9, 2e9}).Draw(t, "rated")
		n.Rates.Net = rapid.SampledFrom([]float64{0, 1e6}).Draw(t, "net")
		n.Memory = rapid.SampledFrom([]int64{0, 1, 1 << 40}).Draw(t, "memory")
		n.Speed = rapid.SampledFrom([]float64{0, 1e9, 3e9}).Draw(t, "speed")
		n.Idle = rapid.IntRange(0, 3).Draw(t, "idle") > 0
		n.Models = rapid.SliceOfNDistinct(rapid.SampledFrom(modelNames), 0, 3, rapid.ID).Draw(t, "models")
		n.Loaded = n.Models[:rapid.IntRange(0, len(n.Models)).Draw(t, "loaded")]
		n.LoadTime = rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "load")
		n.IdleSince = rapid.SampledFrom([]time.Time{{}, start}).Draw(t, "idle since")
		n.Job = rapid.SampledFrom([]job.ID{"", "q0", "r0"}).Draw(t, "work")
	}
	for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 2, rapid.ID).
		Draw(t, "draining") {
		v.drain(job.NodeID(n))
	}

	drawShares(t, &v)
	drawRunning(t, &v, names)
	drawQueued(t, &v, names)
	return v
}

func drawRunning(t *rapid.T, v *View, names []string) {
	ranks := rapid.Permutation(names).Draw(t, "order")
	for i := range rapid.IntRange(0, 3).Draw(t, "running") {
		n := rapid.IntRange(1, 2).Draw(t, "ranks")
		r := Running{Record: drawRecord(t, fmt.Sprint("r", i))}
		r.State, r.Attempt = job.Running, max(1, r.Attempt)
		r.Plan = job.Plan{Mesh: job.Mesh{CFG: 1, Ulysses: n}}
		if r.Spec.Window > 0 {
			r.Plan.Mesh = job.Mesh{Window: n, CFG: 1, Ulysses: 1}
		}
		for _, id := range ranks[:n] {
			r.Plan.Nodes = append(r.Plan.Nodes, job.NodeID(id))
		}
		ranks = ranks[n:]
		r.Progress = job.Progress{Attempt: r.Attempt, Stage: job.StageDenoise, Total: r.Spec.Steps,
			Done: rapid.IntRange(0, r.Spec.Steps).Draw(t, "done")}
		r.Pace = Pace{Attempt: r.Attempt, Done: r.Progress.Done, Setup: time.Second,
			Mean: rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "mean")}
		r.Asked = rapid.SampledFrom([]time.Time{{}, start, start.Add(-time.Hour)}).Draw(t, "asked")
		v.Running = append(v.Running, r)
	}
}

func drawQueued(t *rapid.T, v *View, names []string) {
	for i := range rapid.IntRange(0, 5).Draw(t, "queued") {
		q := Queued{Record: drawRecord(t, fmt.Sprint("q", i)),
			Needs:       rapid.Int64Range(0, 12).Draw(t, "needs"),
			SinceLoss:   rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "since"),
			PassedSince: rapid.SampledFrom([]time.Time{{}, start, start.Add(-time.Hour)}).Draw(t, "passed"),
			Blamed:      map[job.NodeID]bool{}}
		for _, n := range names {
			q.Blamed[job.NodeID(n)] = rapid.IntRange(0, 4).Draw(t, "blamed") == 0
		}
		v.Queued = append(v.Queued, q)
	}
}

func drawRecord(t *rapid.T, id string) *job.Record {
	r := &job.Record{ID: job.ID(id), State: job.Queued, Spec: spec()}
	r.Attempt = job.Attempt(rapid.IntRange(0, 2).Draw(t, "attempt"))
	for a := range r.Attempt {
		r.Losses = append(r.Losses, job.Loss{Attempt: a + 1})
	}
	r.Owner = rapid.SampledFrom([]string{"", "", "o", "p"}).Draw(t, "owner")
	r.Team = rapid.SampledFrom([]string{"", "", "t"}).Draw(t, "team")
	r.Spec.Model = rapid.SampledFrom(modelNames).Draw(t, "model")
	r.Spec.Priority = rapid.IntRange(0, 2).Draw(t, "priority")
	r.Spec.Shards = rapid.IntRange(0, 8).Draw(t, "shards")
	r.Spec.Format = rapid.SampledFrom([]string{"webm", "mp4"}).Draw(t, "format")
	if rapid.Bool().Draw(t, "long") {
		r.Spec.Frames, r.Spec.Window, r.Spec.Overlap = 241, 9, 3
	}
	return r
}

// records copies the jobs of a view.
func records(v View) (all []job.Record) {
	for _, q := range v.Queued {
		all = append(all, *q.Record)
	}
	for _, r := range v.Running {
		all = append(all, *r.Record)
	}
	return all
}

// TestDecisionsAreSound holds what must be true of every decision on every view.
func TestDecisionsAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawView(t)
		before, jobs := fmt.Sprintf("%+v", v), records(v)
		all := Decide(v)
		if fmt.Sprintf("%+v", v) != before || !reflect.DeepEqual(records(v), jobs) {
			t.Fatal("the view has changed")
		}
		if again := Decide(v); !reflect.DeepEqual(all, again) {
			t.Fatalf("decided %v, then %v", all, again)
		}
		v.Known = new(Known)
		for range 2 { // the second time by what the first has left behind
			if again := Decide(v); !reflect.DeepEqual(all, again) {
				t.Fatalf("decided %v, then %v", all, again)
			}
		}

		checkJobs(t, v, all)
		checkNodes(t, v, all)
		checkHead(t, v, all)
		checkYields(t, v, all)
	})
}

// checkJobs wants one decision on each job, of a kind that its state allows.
func checkJobs(t *rapid.T, v View, all []Decision) {
	seen := map[job.ID]bool{}
	for _, d := range all {
		queued := d.Action == Place || d.Action == Wait || d.Action == Fail
		if seen[d.Job.ID] || queued != (d.Job.State == job.Queued) {
			t.Fatalf("%s of a job that is %s, twice: %v", told(d), d.Job.State, seen[d.Job.ID])
		}
		if d.Why == "" && d.Action != Place && d.Action != Keep {
			t.Fatalf("%s has no reason", told(d))
		}
		seen[d.Job.ID] = true
	}
	if len(all) != len(v.Queued)+len(v.Running) {
		t.Fatalf("%d decisions on %d jobs", len(all), len(v.Queued)+len(v.Running))
	}
}

// checkNodes wants every placement on nodes that have its model, are registered, idle, not
// draining, in no live plan and in no other placement, and no more stored than there is room for.
func checkNodes(t *rapid.T, v View, all []Decision) {
	taken, room := map[job.NodeID]bool{}, v.Store.Room
	for _, r := range v.Running {
		for _, id := range r.Plan.Nodes {
			taken[id] = true
		}
	}
	for _, d := range all {
		if d.Action != Place {
			continue
		}
		for _, n := range d.Nodes {
			i := slices.IndexFunc(v.Nodes, func(o Node) bool { return o.ID == n.ID })
			if _, draining := v.Draining[n.ID]; i < 0 || !v.Nodes[i].Idle || draining || taken[n.ID] ||
				!v.Nodes[i].has(&d.Job.Spec) {
				t.Fatalf("%s: node %s cannot be used", told(d), n.ID)
			}
			taken[n.ID] = true
		}
		asked := max(d.Job.Spec.Shards, d.Job.Spec.Mesh.Size())
		if n := len(d.Nodes); n != d.Mesh.Size() || asked > 0 && n > asked ||
			asked > 0 && n < asked && d.Job.Attempt == 0 {
			t.Fatalf("%s: %d nodes, %d asked for", told(d), n, asked)
		}
		if !d.Nodes[0].writes(d.Job.Spec.Format) {
			t.Fatalf("%s: rank 0 cannot write %s", told(d), d.Job.Spec.Format)
		}
		q := v.Queued[slices.IndexFunc(v.Queued, func(q Queued) bool { return q.ID == d.Job.ID })]
		if room -= q.Needs; room < 0 {
			t.Fatalf("%s: more is stored than there is room for", told(d))
		}
	}
}

// checkHead wants nobody to overtake the head of the queue on nodes of its model where it waits for
// what will come, unless it lets them pass, and the head to start where all that it needs is there.
func checkHead(t *rapid.T, v View, all []Decision) {
	if len(v.Queued) == 0 {
		return
	}
	head := slices.MinFunc(v.Queued, func(a, b Queued) int {
		return cmp.Compare(b.Spec.Priority, a.Spec.Priority)
	})
	mixed := slices.ContainsFunc(v.Queued, func(q Queued) bool {
		return q.Owner != head.Owner || q.Team != head.Team
	})
	at := slices.IndexFunc(v.Queued, func(q Queued) bool { return q.ID == all[0].Job.ID })
	first := v.Queued[at]
	if first.ID != head.ID && !mixed || first.Spec.Priority != head.Spec.Priority {
		t.Fatalf("%s comes before %s", first.ID, head.ID)
	}
	head = first

	usable := slices.DeleteFunc(pointers(v.Nodes), func(n *Node) bool {
		_, draining := v.Draining[n.ID]
		return draining || !n.has(&head.Spec)
	})
	limited := newScheduler(v).limited(head.Owner, head.Team) != ""
	possible := !limited && len(usable) >= max(1, head.wanted()) &&
		anyWrites(usable, head.Spec.Format) && head.SinceLoss > v.LostAfter
	if possible && all[0].Action == Wait && !all[0].Passed {
		for _, d := range all {
			there := func(n *Node) bool { return n.has(&head.Spec) }
			if d.Action == Place && slices.ContainsFunc(d.Nodes, there) {
				t.Fatalf("%s overtakes %s, which %s", told(d), head.ID, all[0].Why)
			}
		}
	}
	for _, d := range all {
		if d.Passed {
			checkPassed(t, v, all, d)
		}
	}

	allIdle := !slices.ContainsFunc(usable, func(n *Node) bool { return !n.Idle })
	there := v.Store.Open && head.Needs <= v.Store.Room && !v.Now.Before(v.GraceUntil)
	if possible && allIdle && there && len(v.Running) == 0 && all[0].Action == Wait && !all[0].Passed {
		t.Fatalf("%s is not placed, though all is there: %s", head.ID, all[0].Why)
	}
}

// checkPassed wants a job to let others pass only while its patience lasts, and somebody to use
// that: a job of its priority and of a loaded model.
func checkPassed(t *rapid.T, v View, all []Decision, d Decision) {
	i := slices.IndexFunc(v.Queued, func(q Queued) bool { return q.ID == d.Job.ID })
	if since := v.Queued[i].PassedSince; !since.IsZero() && v.Now.Sub(since) > patienceMost {
		t.Fatalf("%s, since %v", told(d), since)
	}
	if !slices.ContainsFunc(all, func(o Decision) bool {
		ready := func(n *Node) bool { return n.ready(o.Job.Spec.Model) }
		return (o.Action == Place || o.Action == Fail) && o.Job.Spec.Priority == d.Job.Spec.Priority &&
			!slices.ContainsFunc(o.Nodes, func(n *Node) bool { return !ready(n) })
	}) {
		t.Fatalf("%s, and nobody does", told(d))
	}
}

// checkYields wants jobs preempted only for one of a higher priority that then has nodes enough,
// and at most one to grow.
func checkYields(t *rapid.T, v View, all []Decision) {
	grown := 0
	for _, d := range all {
		if d.Action != Yield && d.Action != Stop {
			continue
		}
		switch d.Cause {
		case Preempted:
			if !slices.ContainsFunc(all, func(o Decision) bool {
				return o.Action == Wait && o.Job.Spec.Priority > d.Job.Spec.Priority
			}) {
				t.Fatalf("%s for nobody", told(d))
			}
		case Grown:
			grown++
		case Spent:
			if v.Owners[d.Job.Owner].Spent == "" && v.Teams[d.Job.Team].Spent == "" {
				t.Fatalf("%s, though its owner may go on", told(d))
			}
		case Drained, Rebalanced:
		}
		if d.Job.CancelRequested {
			t.Fatalf("%s, which is cancelled", told(d))
		}
	}
	if grown > 1 {
		t.Fatalf("%d jobs grow at once", grown)
	}
}
