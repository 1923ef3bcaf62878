package core

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// ask creates a job of one shard for an owner, and returns its error too.
func (w *fakeWorld) ask(owner, team string, q access.Quota) (id job.ID, err error) {
	one := 1
	w.k.Create(job.Request{Prompt: "a ball", Shards: one, Owner: owner, Team: team, Quota: q},
		func(r job.Record, e error) { id, err = r.ID, e })
	w.k.Settle()
	return id, err
}

// mustAsk is ask for a job that is taken.
func (w *fakeWorld) mustAsk(owner, team string) job.ID {
	w.t.Helper()
	id, err := w.ask(owner, team, access.Quota{})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// complete ends the attempt of an order with a result, and lets its node be idle.
func (w *fakeWorld) complete(s wire.StartOrder) {
	w.t.Helper()
	v, l := object("v-"+string(s.Plan.Job)), object("l-"+string(s.Plan.Job))
	_, err := w.k.commit(command{Kind: kindComplete, Job: s.Plan.Job, Attempt: s.Plan.Attempt,
		Result: &job.Result{Video: v, Latents: l, ContentType: "video/webm"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.beat(s.Plan.Nodes[0], nil)
}

// runNext has the running job take 10 s and returns the one that starts then.
func (w *fakeWorld) runNext(s wire.StartOrder) wire.StartOrder {
	w.t.Helper()
	for range 5 { // no silence is so long that a node is lost
		w.pass(2 * time.Second)
		w.beat(s.Plan.Nodes[0], &s)
	}
	w.complete(s)
	starts := w.take()
	if len(starts) != 1 {
		w.t.Fatalf("%d jobs start", len(starts))
	}
	return starts[0]
}

// TestOwnersTakeTurns has one owner queue ten jobs, then two others one each. A change of leader in
// the middle changes nothing.
func TestOwnersTakeTurns(t *testing.T) {
	for _, change := range []bool{false, true} {
		w := leads(t)
		w.join("n1")
		for range 10 {
			w.mustAsk("key_1", "")
		}

		s := w.take()[0]
		s = w.runNext(s)
		for _, owner := range []string{"key_2", "key_3", "key_3"} {
			w.mustAsk(owner, "")
		}
		if change {
			w.change()
			w.beat("n1", &s)
		}

		order := ""
		for range 6 {
			s = w.runNext(s)
			order += w.record(s.Plan.Job).Owner[len("key_"):]
		}
		if order != "231311" {
			t.Errorf("a change of leader: %v; the owners take turns as %s, want 231311", change, order)
		}
	}
}

// change lets another coordinator lead, which has a snapshot of what was decided.
func (w *fakeWorld) change() {
	w.t.Helper()
	m, err := ReadSnapshot(bytes.NewReader(snapshotOf(w.t, w.k.machine)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.k.Resign()
	w.k.Restore(m)
	w.k.Lead()
	w.tick()
	w.answer()
	w.join("n1")
}

// TestWaitingJobsSayHowManyAreAhead counts in the order in which they will run.
func TestWaitingJobsSayHowManyAreAhead(t *testing.T) {
	w := leads(t)
	w.join("n1")
	var ids []job.ID
	for range 4 {
		ids = append(ids, w.mustAsk("key_1", ""))
	}
	ids = append(ids, w.mustAsk("key_2", ""))

	for i, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 0} {
		v, err := w.k.View(ids[i])
		if err != nil || v.Ahead != want {
			t.Errorf("job %d: %d are ahead, want %d: %v", i, v.Ahead, want, err)
		}
	}
	if v, _ := w.k.View(ids[1]); v.Waiting != "waits for its turn: 1 job of others first, "+
		"as key_1 has used 60 device-seconds more of its share" {
		t.Errorf("it %s", v.Waiting)
	}
}

// TestOlderVersionsCountNothing: what coordinators of version 8 do not know is not in their log.
func TestOlderVersionsCountNothing(t *testing.T) {
	w := leads(t, func(c *Config) { c.Commands = VersionFirst })
	w.join("n1")
	w.mustAsk("key_1", "")
	s := w.take()[0]
	w.complete(s)
	if snap := snapshotOf(t, w.k.machine); bytes.Contains(snap, []byte(`"shares"`)) {
		t.Errorf("the snapshot has shares: %s", snap)
	}
}

// TestUsedToday adds up what attempts have taken since midnight, live ones too; what was lost is
// charged to nobody.
func TestUsedToday(t *testing.T) {
	w := leads(t)
	w.join("n1")
	w.mustAsk("key_1", "film")
	w.mustAsk("key_1", "film")
	used := func(want time.Duration) {
		t.Helper()
		u := w.k.lead.usedToday()
		a, b := u.owner("key_1"), u.team("film")
		if a != want || b != want {
			t.Errorf("used %v, the team %v; want %v", a, b, want)
		}
	}
	s := w.runNext(w.take()[0])
	used(10 * time.Second)
	w.pass(2 * time.Second)
	used(12 * time.Second)

	w.k.lead.lose(new(w.record(s.Plan.Job)), job.Setback{Reason: "its node was lost"})
	used(10 * time.Second)
	w.beat("n1", nil)
	w.pass(4 * time.Second)
	s = w.take()[0]
	w.clock, w.today = w.clock.Add(2*time.Hour), w.today.Add(2*time.Hour) // past midnight
	_, midnight := dayOf(w.today)
	used(w.today.Sub(midnight))
	w.complete(s)
	used(w.today.Sub(midnight))
}

// TestTeamsShownAreFew sums up all teams beyond the largest.
func TestTeamsShownAreFew(t *testing.T) {
	w := leads(t)
	w.join("n1")
	for _, team := range []string{"a", "b", "", "c"} {
		w.mustAsk("key_"+team, team)
	}
	s := w.runNext(w.take()[0]) // of a, for 10 s; then b runs
	w.pass(time.Second)
	w.beat("n1", &s)
	want := []TeamUse{{Team: "a", Today: 10 * time.Second}, {Team: "b", Running: 1, Today: time.Second},
		{Team: OtherTeams, Queued: 2}}
	if got := w.k.TeamUses(2); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got := w.k.TeamUses(4); len(got) != 4 || got[2].Team != "" || got[3].Team != "c" {
		t.Errorf("all of them: %+v", got)
	}
}
