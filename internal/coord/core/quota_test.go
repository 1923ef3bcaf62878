package core

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// TestQuotasRefuseJobs asks for one job too many, too large, too long, and too urgent.
func TestQuotasRefuseJobs(t *testing.T) {
	priority := 1
	for field, c := range map[string]struct {
		quota  access.Quota
		passes bool
		edit   func(*job.Request)
	}{
		"queued": {access.Quota{Queued: 2}, true, func(*job.Request) {}},
		"size": {access.Quota{Pixels: 96 * 64}, false,
			func(r *job.Request) { r.Size = "96x80" }},
		"seconds": {access.Quota{Seconds: 2.1}, false,
			func(r *job.Request) { frames := 37; r.Frames = &frames }},
		"priority": {access.Quota{Priority: &priority}, false,
			func(r *job.Request) { r.Priority = 2 }},
	} {
		w := leads(t)
		w.join("n1")
		ask := func(owner string, edit func(*job.Request)) (err error) {
			r := job.Request{Prompt: "a ball", Shards: 2, Owner: owner, Quota: c.quota}
			edit(&r)
			w.k.Create(r, func(_ job.Record, e error) { err = e })
			return err
		}
		for range 2 {
			if err := ask("key_1", func(*job.Request) {}); err != nil {
				t.Fatalf("%s: %v", field, err)
			}
		}

		// Who is refused writes nothing into the log.
		before := w.index
		err := ask("key_1", c.edit)
		if w.index != before {
			t.Errorf("%s: a refusal took %d entries", field, w.index-before)
		}
		var q *QuotaError
		if !errors.As(err, &q) || q.Field != field || q.Passes != c.passes ||
			(q.After > 0) != c.passes || !strings.Contains(err.Error(), "your quota") {
			t.Errorf("%s: %v", field, err)
		}
		if err := ask("key_2", func(*job.Request) {}); err != nil {
			t.Errorf("%s of another owner: %v", field, err)
		}
	}
}

// TestConcurrentCreatesKeepTheQuota proposes two jobs for the last place before either is
// committed: one of them is refused when it is applied. A repeat of a request is not another job.
func TestConcurrentCreatesKeepTheQuota(t *testing.T) {
	w := leads(t)
	w.join("n1")
	r := job.Request{Prompt: "a ball", Shards: 2, Owner: "key_1", Key: "k",
		Quota: access.Quota{Queued: 1}}
	first, err := w.k.ProposeJob(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Key = ""
	w.index++ // which makes the next id another one
	second, err := w.k.ProposeJob(r)
	if err != nil {
		t.Fatal(err)
	}

	made, err := w.Append(first.Entry)
	if err != nil {
		t.Fatal(err)
	}
	var q *QuotaError
	if _, err := w.Append(second.Entry); !errors.As(err, &q) || q.Field != "queued" {
		t.Errorf("the second: %v", err)
	}
	if again, err := w.Append(first.Entry); err != nil || again.ID != made.ID {
		t.Errorf("the repeat: %v", err)
	}
}

// TestBytesAreOfTheOwner refuses jobs while stored clips take what the owner may store, until some
// are deleted.
func TestBytesAreOfTheOwner(t *testing.T) {
	w := leads(t)
	w.join("n1")
	q := access.Quota{Bytes: 2} // a clip and its latents have one byte each
	id, err := w.ask("key_1", "", q)
	if err != nil {
		t.Fatal(err)
	}
	w.complete(w.take()[0])

	var e *QuotaError
	if _, err := w.ask("key_1", "", q); !errors.As(err, &e) || e.Field != "bytes" || !e.Passes {
		t.Errorf("with 2 of 2 bytes: %v", err)
	}
	if _, err := w.ask("key_2", "", q); err != nil {
		t.Errorf("another owner: %v", err)
	}
	if err := w.k.Delete(id); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ask("key_1", "", q); err != nil {
		t.Errorf("after the delete: %v", err)
	}
}

// TestSpentJobsStopAndWaitForTheNextDay runs a job of an owner who may use 8 device-seconds a day,
// in steps of 3 s on one node. It is asked to stop once they are used, in the third step, stops at
// the end of that, after 9 s, and goes on from its checkpoint after midnight.
func TestSpentJobsStopAndWaitForTheNextDay(t *testing.T) {
	const step = 3 * time.Second
	w := leads(t)
	w.join("n1")
	var id job.ID
	r := job.Request{Prompt: "a ball", Shards: 1, Steps: new(8), Owner: "key_1",
		Quota: access.Quota{DeviceSeconds: 8}}
	w.k.Create(r, func(got job.Record, err error) {
		if id = got.ID; err != nil {
			t.Fatal(err)
		}
	})
	w.k.Settle()
	s, done := w.take()[0], 0
	w.report(s, 0)
	for pulse := (wire.Pulse{}); !pulse.Yield && done < 8; done++ {
		for range int(step / time.Second) {
			w.pass(time.Second)
			pulse = w.beat("n1", &s)
		}
		w.report(s, done+1)
		w.save(s, done+1)
	}
	if used := w.k.lead.usedToday().owner("key_1"); done != 3 || used != 9*time.Second {
		t.Fatalf("it stops after step %d, with %v used; want 3 and 9s", done, used)
	}
	say[wire.Ack](w, wire.Failure{Node: "n1", Yielded: true, Peer: -1, Reason: "yielded",
		Work: wire.Work{Job: id, Attempt: 1}})
	w.beat("n1", nil)

	waits := func(why string) {
		t.Helper()
		if v, err := w.k.View(id); err != nil || v.State != job.Queued || v.Waiting != why {
			t.Errorf("the job is %s and %q, want %q: %v", v.State, v.Waiting, why, err)
		}
	}
	waits("waits until 00:00 UTC: device-seconds of today are used (9 of 8)")
	if l := w.record(id).Losses; len(l) != 1 || !l[0].Planned || l[0].Step != 3 ||
		!strings.Contains(l[0].Reason, "waits until 00:00 UTC") {
		t.Errorf("the attempt ended with %+v", l)
	}

	// Others are not kept from the node meanwhile.
	w.mustAsk("key_2", "")
	w.complete(w.take()[0])

	_, midnight := dayOf(w.today)
	w.clock = w.clock.Add(midnight.Add(24 * time.Hour).Sub(w.today))
	w.today = midnight.Add(24 * time.Hour)
	w.k.lead.excuseSilence(w.clock)
	w.tick()
	starts := w.take()
	if len(starts) != 1 || starts[0].Plan.Job != id || starts[0].Plan.Resume.Step != 3 {
		t.Fatalf("on the next day %+v starts", starts)
	}
	if used := w.k.lead.usedToday().owner("key_1"); used != 0 {
		t.Errorf("the day begins with %v used", used)
	}
}

// report tells the leader that an attempt has done some steps.
func (w *fakeWorld) report(s wire.StartOrder, done int) {
	say[wire.Ack](w, wire.Report{Node: s.Plan.Nodes[0], Progress: job.Progress{Job: s.Plan.Job,
		Attempt: s.Plan.Attempt, Stage: job.StageDenoise, Done: done, Total: s.Plan.Spec.Steps}})
}

// save stores a checkpoint of an attempt.
func (w *fakeWorld) save(s wire.StartOrder, step int) {
	w.t.Helper()
	a := say[wire.Ack](w, wire.Saved{Node: s.Plan.Nodes[0], Work: wire.Work{Job: s.Plan.Job,
		Attempt: s.Plan.Attempt}, Checkpoint: job.Checkpoint{Step: step, Object: object("c")}})
	if !a.OK {
		w.t.Fatalf("the checkpoint: %+v", a)
	}
}

// TestRunningJobsAreLimited lets an owner's second job wait beside an idle node.
func TestRunningJobsAreLimited(t *testing.T) {
	w := leads(t)
	w.join("n1")
	w.join("n2")
	for range 2 {
		if _, err := w.ask("key_1", "", access.Quota{Running: 1}); err != nil {
			t.Fatal(err)
		}
	}
	starts := w.take()
	if len(starts) != 1 {
		t.Fatalf("%d jobs start", len(starts))
	}
	next := w.k.machine.Records(isQueued)[0].ID
	if v, _ := w.k.View(next); v.Waiting != "waits: key_1 may run 1 job at a time" || v.Ahead != 0 {
		t.Errorf("the other one %s, with %d ahead", v.Waiting, v.Ahead)
	}
	w.complete(starts[0])
	if starts = w.take(); len(starts) != 1 || starts[0].Plan.Job != next {
		t.Errorf("then %+v starts", starts)
	}
}

// TestQuotasOfKeysAndTeamsAreThoseOfNow changes quotas of a key and its team while jobs wait: what
// counts is what they are at present, not what they were when the job was created.
func TestQuotasOfKeysAndTeamsAreThoseOfNow(t *testing.T) {
	w := leads(t)
	w.join("n1")
	w.join("n2")
	k := access.Key{ID: "key_abcdefghij234567", Name: "render", Team: "film",
		Scopes: access.Scopes{access.VideosWrite}, Hash: access.HashText("text"),
		Quota: access.Quota{Running: 1}}
	if _, err := w.k.CreateKey(k); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.mustAsk(k.ID, k.Team)
	}
	waits := func(want string) {
		t.Helper()
		w.tick()
		for _, r := range w.k.machine.Records(isQueued) {
			if v, _ := w.k.View(r.ID); v.Waiting != want {
				t.Errorf("the job %q, want %q", v.Waiting, want)
			}
		}
	}
	waits("waits: key render may run 1 job at a time")

	if err := w.k.SetTeam(access.Team{Name: "film", Quota: access.Quota{Running: 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.k.ChangeKey(k.ID, KeyChange{Quota: &access.Quota{}}); err != nil {
		t.Fatal(err)
	}
	waits("waits: team film may run 1 job at a time")
	q, err := w.k.QuotaOf(k.ID, "film", access.Quota{Queued: 9})
	if err != nil || q.Limits != (access.Quota{}) || q.Used.Running != 1 || q.Used.Queued != 1 ||
		q.TeamLimits.Running != 1 || *q.TeamUsed != q.Used {
		t.Errorf("the quota is %+v: %v", q, err)
	}
	if err := w.k.RemoveTeam("film"); err != nil {
		t.Fatal(err)
	}
	w.tick()
	if _, running, _ := w.k.machine.Counts(); running != 2 {
		t.Errorf("%d jobs run", running)
	}
}

func isQueued(r *job.Record) bool { return r.State == job.Queued }
