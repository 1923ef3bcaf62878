package sched

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// shelves has nodes that have the models x and y, each with one of them loaded: "ax by" is a with x
// and b with y; "c-" has none loaded.
func shelves(nodes ...string) View {
	var names []string
	for _, n := range nodes {
		names = append(names, n[:1])
	}
	v := view(names...)
	v.Models = nil
	for _, name := range []string{"x", "y", "z"} {
		m := model()
		m.Name = name
		v.Models = append(v.Models, m)
	}
	for i, n := range nodes {
		v.Nodes[i].Models, v.Nodes[i].Loaded = []string{"x", "y"}, []string{n[1:]}
		if n[1:] == "-" {
			v.Nodes[i].Loaded = nil
		}
	}
	return v
}

// of adds a queued job of a model.
func (v *View) of(model string, id job.ID, shards int) *Queued {
	q := v.queue(id, shards)
	q.Spec.Model = model
	return q
}

// modelCase is a view of shelves, and the decisions on it.
type modelCase struct {
	nodes []string
	fill  func(v *View)
	want  []string
}

func checkModels(t *testing.T, cases map[string]modelCase) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := shelves(c.nodes...)
			c.fill(&v)
			expect(t, v, c.want...)
		})
	}
}

// TestModels places jobs where their model is, or where loading it costs least.
func TestModels(t *testing.T) {
	checkModels(t, map[string]modelCase{
		"where it is loaded": {[]string{"ax", "by", "cy"}, func(v *View) { v.of("y", "j", 0) },
			[]string{"j: place cfg=2,ulysses=1 on b c"}},
		"nobody has it": {[]string{"ax"}, func(v *View) { v.of("z", "j", 0); v.of("x", "k", 0) },
			[]string{`j: wait, waits for a shard that has model "z"`,
				"k: place cfg=1,ulysses=1 on a"}},
		"too few have it": {[]string{"ax", "by"}, func(v *View) {
			v.Nodes[1].Models = []string{"y"}
			v.of("x", "j", 2)
		}, []string{`j: wait, waits for 2 shards with model "x", 1 is registered`}},
		"nowhere loaded, so wherever it is": {[]string{"ax", "bx"}, func(v *View) { v.of("y", "j", 0) },
			[]string{"j: place cfg=2,ulysses=1 on a b"}},
		"it asks for more than have it loaded": {[]string{"ax", "by", "cx"}, func(v *View) {
			v.of("y", "j", 2)
		}, []string{"j: place cfg=2,ulysses=1 on b a"}},
		"where nothing has to go": {[]string{"ax", "b-", "cx"}, func(v *View) { v.of("y", "j", 1) },
			[]string{"j: place cfg=1,ulysses=1 on b"}},
		"where nothing was done for longest": {[]string{"ax", "bx", "cx"}, func(v *View) {
			for i, ago := range []time.Duration{1, 3, 2} {
				v.Nodes[i].IdleSince = start.Add(-ago * time.Minute)
			}
			v.of("y", "j", 1)
		}, []string{"j: place cfg=1,ulysses=1 on b"}},
		"where nobody waits for what is loaded": {[]string{"ax", "by"}, func(v *View) {
			v.Models[2].Name = "z"
			v.Nodes[0].Models, v.Nodes[1].Models = []string{"x", "z"}, []string{"y", "z"}
			v.of("z", "j", 1)
			v.of("x", "k", 1)
		}, []string{"j: place cfg=1,ulysses=1 on b", "k: place cfg=1,ulysses=1 on a"}},
	})
}

// TestWhoGoesFirst among jobs of several models.
func TestWhoGoesFirst(t *testing.T) {
	checkModels(t, map[string]modelCase{
		"others of a loaded model go first": {[]string{"ax"}, func(v *View) {
			v.Nodes[0].LoadTime = 2 * time.Second
			v.of("y", "j", 1)
			v.of("x", "k", 1)
		}, []string{"j: wait, waits while jobs of models that are loaded go first, for 8s at most",
			"k: place cfg=1,ulysses=1 on a"}},
		"but not for long": {[]string{"ax"}, func(v *View) {
			v.Nodes[0].LoadTime = 2 * time.Second
			v.of("y", "j", 1).PassedSince = start.Add(-8 * time.Second)
			v.of("x", "k", 1)
		}, []string{"j: place cfg=1,ulysses=1 on a",
			"k: wait, waits for 1 shard, 0 are of 1 idle"}},
		"and not of a lower priority": {[]string{"ax"}, func(v *View) {
			v.of("y", "j", 1).Spec.Priority = 1
			v.of("x", "k", 1)
		}, []string{"j: place cfg=1,ulysses=1 on a",
			"k: wait, waits for 1 shard, 0 are of 1 idle"}},
		"nor where they could not start": {[]string{"ax"}, func(v *View) {
			v.of("y", "j", 1)
			v.of("x", "k", 2)
		}, []string{"j: place cfg=1,ulysses=1 on a",
			"k: wait, waits for 2 shards, 1 is registered"}},
		"a job that waits keeps its nodes alone": {[]string{"ax", "bx", "cy"}, func(v *View) {
			v.Nodes[0].Models, v.Nodes[1].Models = []string{"x"}, []string{"x"}
			v.Nodes[2].Models = []string{"y"}
			v.Nodes[1].Idle = false
			v.of("x", "j", 2)
			v.of("x", "k", 1)
			v.of("y", "l", 1)
		}, []string{`j: wait, waits for 2 shards with model "x", 1 is of 2 idle`,
			"k: wait, waits for its turn", "l: place cfg=1,ulysses=1 on c"}},
		"only jobs on nodes of its model make room": {[]string{"ax", "by"}, func(v *View) {
			v.Nodes[0].Models, v.Nodes[1].Models = []string{"x"}, []string{"y"}
			v.run("r", "a").Spec.Model = "x"
			v.run("s", "b").Spec.Model = "y"
			v.of("x", "j", 1).Spec.Priority = 1
		}, []string{`j: wait, waits for 1 shard with model "x", 0 are of 1 idle`,
			"r: yield preempted, job j of priority 1 takes its shards", "s: keep"}},
		"a lost attempt goes on where others are idle, too": {[]string{"ax", "by"}, func(v *View) {
			v.of("x", "j", 0).Attempt = 1
		}, []string{"j: place cfg=2,ulysses=1 on a b"}},
	})
}

// TestGrowthCountsLoading moves a running job to a node of another model only if the time to load
// its own pays, and if nobody waits for the other.
func TestGrowthCountsLoading(t *testing.T) {
	grows := func(load time.Duration, queued string) bool {
		v := shelves("ax", "by")
		v.Nodes[1].LoadTime = load
		v.run("r", "a").Spec.Model = "x"
		if queued != "" {
			v.of(queued, "j", 2)
		}
		all := Decide(v)
		return all[len(all)-1].Action == Yield
	}
	if !grows(time.Second, "") || grows(time.Minute, "") || grows(time.Second, "y") {
		t.Errorf("grows %v %v %v", grows(time.Second, ""), grows(time.Minute, ""),
			grows(time.Second, "y"))
	}
}

// TestAlternatingModels runs a queue that asks for two models in turn on one node: loading takes a
// fifth of the time at most, and no job waits longer than the ones before it and its patience.
func TestAlternatingModels(t *testing.T) {
	const load, each, jobs = 2 * time.Second, time.Second, 40
	v := shelves("ax")
	v.Nodes[0].LoadTime = load
	for i := range jobs {
		v.of([]string{"x", "y"}[i%2], job.ID(fmt.Sprint("j", i)), 1)
	}

	var loads, done int
	var waited time.Duration
	passed := map[job.ID]time.Time{}
	for ; done < jobs; v.Now = v.Now.Add(each) {
		round := v
		round.Queued = slices.Clone(v.Queued) // decisions point into it
		for _, d := range Decide(round) {
			if d.Passed && passed[d.Job.ID].IsZero() {
				passed[d.Job.ID] = v.Now
			}
			if d.Action != Place {
				continue
			}
			if model := d.Job.Spec.Model; !v.Nodes[0].ready(model) {
				loads++
				v.Nodes[0].Loaded = []string{model}
				v.Now = v.Now.Add(load)
			}
			if s, ok := passed[d.Job.ID]; ok {
				waited = max(waited, v.Now.Sub(s))
			}
			v.Queued = slices.DeleteFunc(v.Queued, func(q Queued) bool { return q.ID == d.Job.ID })
			done++
		}
		for i, q := range v.Queued {
			v.Queued[i].PassedSince = passed[q.ID]
		}
	}

	took := v.Now.Sub(start)
	t.Logf("%d loads in %v, the longest pass %v", loads, took, waited)
	if part := time.Duration(loads) * load; part > took/4 || loads < 3 {
		t.Errorf("%d loads take %v of %v", loads, part, took)
	}
	if waited > took/2 {
		t.Errorf("a job was passed for %v of %v", waited, took)
	}
}

// TestLoRAs places a job where the files are that it names.
func TestLoRAs(t *testing.T) {
	v := shelves("ax", "bx", "cx")
	v.Nodes[1].LoRAs, v.Nodes[2].LoRAs = []string{"paint", "ink"}, []string{"ink"}
	v.of("x", "j", 0).Spec.LoRAs = []job.LoRA{{SHA256: "ink", Scale: 1}, {SHA256: "paint", Scale: 1}}
	v.of("x", "k", 2).Spec.LoRAs = []job.LoRA{{SHA256: "paint", Scale: 1}}
	v.of("x", "l", 1).Spec.LoRAs = []job.LoRA{{SHA256: "oil", Scale: 1}}
	v.of("x", "m", 1).Spec.LoRAs = []job.LoRA{{SHA256: "oil", Scale: 0}}
	expect(t, v, "j: place cfg=1,ulysses=1 on b",
		`k: wait, waits for 2 shards with model "x" and the job's LoRAs, 1 is registered`,
		`l: wait, waits for a shard that has model "x" and the job's LoRAs`,
		"m: place cfg=1,ulysses=1 on a")
}
