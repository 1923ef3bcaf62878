package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// TestNothingIsGivenToAJobThatIsBeingDeleted has a client store an input again, and a job wait,
// while an earlier copy of the input is being deleted: both come after the deletion.
func TestNothingIsGivenToAJobThatIsBeingDeleted(t *testing.T) {
	w := leads(t)
	in := object("in")
	lease := func(done *bool) {
		w.k.LeaseInput(in, func(err error) {
			if *done = true; err != nil {
				t.Error(err)
			}
		})
	}
	w.join("a")
	id := w.create(2)
	var first, second bool
	if lease(&first); !first {
		t.Fatal("a lease waits though nothing is deleted")
	}
	w.tick() // sees the lease
	w.stored = append(w.stored, in.Name)
	w.pass(leaseTime + time.Second) // its time is over: the sweep deletes it

	lease(&second)
	w.join("b")
	if w.tick(); second || w.record(id).State != job.Queued {
		t.Fatal("an object is given away, or a job placed, while objects are deleted")
	}
	w.answer()
	if w.k.Settle(); !second || w.record(id).State != job.Running {
		t.Fatalf("after the deletion the lease is committed: %v, and the job is %s", second,
			w.record(id).State)
	}
	if len(w.k.Machine().leases()) != 1 {
		t.Errorf("leases %+v; want that of the input", w.k.Machine().leases())
	}
}

// TestAnswersAfterTheTermDoNotCount resigns while orders and looks into the store are under way.
func TestAnswersAfterTheTermDoNotCount(t *testing.T) {
	w := leads(t)
	w.join("a")
	id := w.create(1)
	orders := w.orders
	w.k.Resign()
	w.k.Lead()
	for _, o := range orders {
		o.done(errNoAnswer)
	}
	if r := w.record(id); r.State != job.Running || len(r.Losses) > 0 {
		t.Errorf("an order of the last term counts: %s, %+v", r.State, r.Losses)
	}
}

// TestDamageIsThatOfCompletedJobs notes a clip that is gone.
func TestDamageIsThatOfCompletedJobs(t *testing.T) {
	d, o := damage{}, object("o")
	d.note(o, ErrNotFound)
	r := job.Record{State: job.Completed, Result: job.Result{Video: o}}
	if d.of(r) == "" {
		t.Error("a clip is gone, and its job does not say so")
	}
	if r.State = job.Running; d.of(r) != "" {
		t.Error("a job without a clip says that it is gone")
	}
}

// TestCheckpointsAreNoStrays holds what is known to all that a job refers to.
func TestCheckpointsAreNoStrays(t *testing.T) {
	named := func(i int) job.Object { return artifact.Named(fmt.Sprintf("sha256-%064x", i)) }
	s := newState()
	s.put(job.Record{ID: "a", Parts: map[string]job.Object{"text.0": named(1)},
		Checkpoint: job.Checkpoint{Object: named(2)}, Before: job.Checkpoint{Object: named(3)},
		Result: job.Result{Video: named(4), Latents: named(5)}})
	s.trash = []trash{{Object: named(6)}}
	s.put(job.Record{ID: "b", Spec: job.Spec{Inputs: []job.Input{{Object: named(7)},
		{Object: named(8)}}}})
	m := &Machine{state: s}
	var names []string
	for i := range 10 {
		names = append(names, named(i).Name)
	}
	if got := m.unknown(names); !slices.Equal(got, []job.Object{named(0), named(9)}) {
		t.Errorf("unknown are %v", got)
	}
}
