package core

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// TestTheIndexFollowsTheJobs moves jobs at random, and compares the index with one that is made of
// the jobs as they are then.
func TestTheIndexFollowsTheJobs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	object := func() job.Object { return artifact.Named(fmt.Sprintf("sha256-%064x", rng.IntN(20))) }
	states := []job.State{job.Queued, job.Running, job.Completed, job.Failed, job.Cancelled}
	s := newState()
	for range 2000 {
		id := job.ID(fmt.Sprint("j", rng.IntN(40)))
		old, known := s.jobs[id]
		switch {
		case !known:
			s.add(job.Record{ID: id, State: job.Queued,
				Spec: job.Spec{Inputs: []job.Input{{Object: object()}}}})
		case old.State.Final():
			s.forget(old)
		default:
			moved := *old
			moved.State, moved.Attempt = states[rng.IntN(len(states))], old.Attempt+1
			moved.Plan.Nodes = []job.NodeID{job.NodeID("of " + id), job.NodeID("and " + id)}
			moved.Checkpoint.Object, moved.Before.Object = object(), old.Checkpoint.Object
			moved.Parts = map[string]job.Object{"a": object(), "b": object()}
			s.put(moved)
		}
	}

	fresh := newState()
	for _, id := range s.order {
		fresh.add(*s.jobs[id])
	}
	if !reflect.DeepEqual(s.index, fresh.index) || len(fresh.index.live) == 0 {
		t.Errorf("the index is %+v; the jobs are %+v", s.index, fresh.index)
	}
	for i := range 21 {
		name := fmt.Sprintf("sha256-%064x", i)
		used := slices.ContainsFunc(s.order, func(id job.ID) bool {
			r := s.jobs[id]
			all := append(objects(r), r.Checkpoint.Object, r.Before.Object, r.Parts["a"],
				r.Parts["b"])
			return slices.ContainsFunc(all, func(o job.Object) bool { return o.Name == name })
		})
		if s.holds(name) != used {
			t.Errorf("object %d is held: %v; jobs refer to it: %v", i, s.holds(name), used)
		}
	}
}
