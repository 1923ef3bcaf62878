package sched

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/job"
)

// hall is a cluster whose shards need a modelled time for each job. It places what Decide says, and
// keeps the ledger as a coordinator does.
type hall struct {
	View
	t     testing.TB
	at    time.Duration // since the start
	ends  map[job.ID]time.Duration
	costs map[job.ID]time.Duration
	// begun is when each job began, order in which order.
	begun map[job.ID]time.Duration
	order []job.ID
}

func newHall(t testing.TB, nodes int) *hall {
	h := &hall{t: t, View: View{Now: start, Models: job.Models{model()}, LostAfter: time.Second,
		Store:  Store{Open: true, Room: 1 << 40},
		Owners: map[string]Limit{}, Teams: map[string]Limit{}, Ledger: NewLedger()},
		ends: map[job.ID]time.Duration{}, costs: map[job.ID]time.Duration{},
		begun: map[job.ID]time.Duration{}}

	for i := range nodes {
		n := string(rune('a' + i))
		h.Nodes = append(h.Nodes, Node{ID: job.NodeID(n), Name: n, Process: n, Idle: true, Speed: 1e9,
			Models: []string{"demo"}, Loaded: []string{"demo"}})
	}
	return h
}

// submit queues a job that takes a shard for some time.
func (h *hall) submit(id job.ID, owner, team string, cost time.Duration) {
	r := &job.Record{ID: id, Owner: owner, Team: team, State: job.Queued, Spec: spec()}
	q := Queued{Record: r, SinceLoss: time.Hour, Cost: cost}
	q.Spec.Shards = 1
	h.Queued, h.costs[id] = append(h.Queued, q), cost
}

// decide places what can run now.
func (h *hall) decide() {
	v := h.View
	v.Queued, v.Running = slices.Clone(v.Queued), slices.Clone(v.Running) // decisions point into it
	for _, d := range Decide(v) {
		if d.Action != Place {
			continue
		}
		id := d.Job.ID
		h.Ledger.Place(id, d.Payer, d.Job.Spec.Priority, d.Cost)
		h.Queued = slices.DeleteFunc(h.Queued, func(q Queued) bool { return q.ID == id })
		r := new(*d.Job)
		r.State, r.Attempt, r.Plan.Nodes = job.Running, r.Attempt+1, []job.NodeID{d.Nodes[0].ID}
		h.Running = append(h.Running, Running{Record: r})

		h.begun[id], h.ends[id] = h.at, h.at+h.costs[id]
		h.order = append(h.order, id)
	}
	if err := h.Ledger.Check(); err != nil {
		h.t.Fatal(err)
	}
}

// next goes on to the end of the job that ends first; false if none runs.
func (h *hall) next() bool {
	if len(h.Running) == 0 {
		return false
	}
	first := slices.MinFunc(h.Running, func(a, b Running) int {
		return int(h.ends[a.ID] - h.ends[b.ID])
	})

	h.at = h.ends[first.ID]
	h.Running = slices.DeleteFunc(h.Running, func(r Running) bool { return r.ID == first.ID })
	h.Ledger.End(first.ID, h.costs[first.ID])
	h.Ledger.Tidy(func(yield func(priority int, owner, team string)) {
		for _, q := range h.Queued {
			yield(q.Spec.Priority, q.Owner, q.Team)
		}
		for _, r := range h.Running {
			yield(r.Spec.Priority, r.Owner, r.Team)
		}
	})
	return true
}

// TestAThousandJobsDelayOthersByOne has a key queue a thousand jobs of 10 s on 2 shards, and nine
// others three each, 5 s later. The shards are busy until 10 s. From then on all ten keys take
// turns, one of the first behind one of each other: the k-th job (from 0) of the i-th other key
// (from 0) is number 10k + i in line, of which two start every 10 s.
func TestAThousandJobsDelayOthersByOne(t *testing.T) {
	h := newHall(t, 2)
	for i := range 1000 {
		h.submit(job.ID(fmt.Sprintf("first-%d", i)), "key_first", "", 10*time.Second)
	}

	h.decide()
	h.at = 5 * time.Second
	for k := range 3 {
		for i := range 9 {
			id := job.ID(fmt.Sprintf("other%d-%d", i, k))
			h.submit(id, fmt.Sprintf("key_%d", i), "", 10*time.Second)
		}
	}

	for len(h.begun) < 2+30 && h.next() {
		h.decide()
	}
	for i := range 9 {
		for k := range 3 {
			id := job.ID(fmt.Sprintf("other%d-%d", i, k))
			want := 10*time.Second + time.Duration((10*k+i)/2)*10*time.Second
			if got := h.begun[id]; got != want {
				t.Errorf("%s begins at %v, want %v", id, got, want)
			}
		}
	}
}

// TestNoCreditForThePast lets an owner work alone for an hour, and another come then: they take
// turns from there on, as if the first had done nothing.
func TestNoCreditForThePast(t *testing.T) {
	h := newHall(t, 1)
	for i := range 12 {
		h.submit(job.ID(fmt.Sprintf("a%02d", i)), "a", "", 10*time.Minute)
	}
	h.decide()
	for range 6 {
		h.next()
		h.decide()
	}

	for i := range 4 {
		h.submit(job.ID(fmt.Sprintf("b%d", i)), "b", "", 10*time.Minute)
	}
	for h.next() {
		h.decide()
	}
	want := []job.ID{"b0", "a07", "b1", "a08", "b2", "a09", "b3", "a10", "a11"}
	if got := h.order[7:]; !slices.Equal(got, want) {
		t.Errorf("then came %v, want %v", got, want)
	}
}

// TestTeamsShareByWeight has a team of weight 3 with two owners beside an owner without a team.
func TestTeamsShareByWeight(t *testing.T) {
	h := newHall(t, 1)
	h.Teams["studio"] = Limit{Weight: 3}
	for i := range 12 {
		h.submit(job.ID(fmt.Sprintf("x%02d", i)), "x", "studio", time.Minute)
	}
	for i := range 12 {
		h.submit(job.ID(fmt.Sprintf("y%02d", i)), "y", "studio", time.Minute)
		h.submit(job.ID(fmt.Sprintf("z%02d", i)), "z", "", time.Minute)
	}
	h.decide()
	for h.next() {
		h.decide()
	}

	got := map[byte]int{}
	for _, id := range h.order[:16] {
		got[id[0]]++
	}
	if got['x'] != 6 || got['y'] != 6 || got['z'] != 4 {
		t.Errorf("of 16 jobs x had %d, y %d, z %d; want 6, 6, 4", got['x'], got['y'], got['z'])
	}
}

// party is an owner of the random workloads.
type party struct {
	owner, team string
	weight      float64
}

// TestFairnessIsBounded runs random workloads. While two owners, or two teams, both have jobs that
// wait, what they are given in device-seconds per weight differs by one largest job of each at the
// most: theorem 1 of Goyal, Vin and Cheng. Every job gets its turn.
func TestFairnessIsBounded(t *testing.T) {
	workload := func(rt *rapid.T) {
		h := newHall(t, rapid.IntRange(1, 3).Draw(rt, "nodes"))
		weights := rapid.SampledFrom([]float64{0, 0.5, 1, 2, 3.7})
		teams := []string{"", "", "t", "u"}
		for _, team := range teams[2:] {
			h.Teams[team] = Limit{Weight: weights.Draw(rt, "team weight")}
		}
		var parties []party
		for i := range rapid.IntRange(2, 5).Draw(rt, "owners") {
			p := party{fmt.Sprintf("o%d", i), rapid.SampledFrom(teams).Draw(rt, "team"),
				weights.Draw(rt, "weight")}
			h.Owners[p.owner] = Limit{Weight: p.weight}
			parties = append(parties, p)
		}

		watch := newWatch(rt, h, parties)
		for n := range rapid.IntRange(5, 40).Draw(rt, "events") {
			for k := range rapid.IntRange(0, 4).Draw(rt, "jobs") {
				p := rapid.SampledFrom(parties).Draw(rt, "who")
				cost := time.Duration(rapid.IntRange(1, 60).Draw(rt, "seconds")) * time.Second
				h.submit(job.ID(fmt.Sprintf("%s-%d-%d", p.owner, n, k)), p.owner, p.team, cost)
			}
			watch.round()
			h.next()
		}
		for watch.round(); h.next(); watch.round() {
		}
		if len(h.begun) != len(h.costs) || !h.Ledger.Empty() {
			rt.Fatalf("%d of %d jobs began; the ledger: %+v", len(h.begun), len(h.costs), h.Ledger)
		}
	}
	rapid.Check(t, workload) // a hundred
	rapid.Check(t, workload)
}

// watch compares what pairs are given while both have jobs that wait.
type watch struct {
	t     *rapid.T
	h     *hall
	pairs []pair
}

// pair is two owners or teams. lead is by how much the first is ahead of the second, in
// device-seconds per weight, since both have waited; least and most are its extremes.
type pair struct {
	is                [2]func(job.Record) bool
	weight            [2]float64
	lead, least, most float64
	waiting           bool
	largest           [2]float64 // jobs so far, per weight
}

func newWatch(t *rapid.T, h *hall, parties []party) *watch {
	w := &watch{t: t, h: h}
	group := func(p party) (is func(job.Record) bool, weight float64) {
		if p.team == "" {
			return func(r job.Record) bool { return r.Owner == p.owner }, p.weight
		}
		return func(r job.Record) bool { return r.Team == p.team }, h.Teams[p.team].Weight
	}
	for i, a := range parties {
		for _, b := range parties[:i] {
			var p pair
			if a.team == b.team && a.team != "" { // within a team, by the owners' own weights
				p.is[0] = func(r job.Record) bool { return r.Owner == a.owner }
				p.is[1] = func(r job.Record) bool { return r.Owner == b.owner }
				p.weight = [2]float64{a.weight, b.weight}
			} else {
				p.is[0], p.weight[0] = group(a)
				p.is[1], p.weight[1] = group(b)
			}
			for k := range p.weight {
				if p.weight[k] == 0 {
					p.weight[k] = 1
				}
			}
			w.pairs = append(w.pairs, p)
		}
	}
	return w
}

// round decides, and looks at each placement in its order.
func (w *watch) round() {
	before := slices.Clone(w.h.Queued)
	from := len(w.h.order)

	w.h.decide()
	for _, id := range append(w.h.order[from:], "") {
		for i := range w.pairs {
			w.pairs[i].look(w, before, id)
		}
		before = slices.DeleteFunc(before, func(q Queued) bool { return q.ID == id })
	}
}

// look takes in a placement out of some queued jobs.
func (p *pair) look(w *watch, queued []Queued, id job.ID) {
	both := true
	for k, is := range p.is {
		waits := false
		for _, q := range queued {
			if is(*q.Record) {
				waits = true
				p.largest[k] = max(p.largest[k], w.h.costs[q.ID].Seconds()/p.weight[k])
			}
		}
		both = both && waits
	}
	if !both {
		p.waiting = false
		return
	}

	if !p.waiting {
		*p = pair{is: p.is, weight: p.weight, largest: p.largest, waiting: true}
	}
	if i := slices.IndexFunc(queued, func(q Queued) bool { return q.ID == id }); i >= 0 {
		cost := w.h.costs[id].Seconds()
		if p.is[0](*queued[i].Record) {
			p.lead += cost / p.weight[0]
		}
		if p.is[1](*queued[i].Record) {
			p.lead -= cost / p.weight[1]
		}
	}

	p.least, p.most = min(p.least, p.lead), max(p.most, p.lead)
	if bound := p.largest[0] + p.largest[1]; p.most-p.least > bound*1.001 {
		w.t.Fatalf("%s: one is %.3f device-seconds per weight ahead; allowed: %.3f", id,
			p.most-p.least, bound)
	}
}
