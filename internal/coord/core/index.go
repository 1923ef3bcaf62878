package core

import (
	"slices"
	"unique"

	"github.com/longtake/longtake/internal/job"
)

// index is what is asked of the jobs at every tick and with every command, and would take a look at
// thousands of records. It follows from them, and is not part of a snapshot.
type index struct {
	live            []*liveJob // those that are not final, by creation
	of              map[job.ID]*liveJob
	queued, running int
	// taken are the nodes of jobs that run, by the job that has them.
	taken map[job.NodeID]job.ID
	// users counts how many times jobs refer to an object, by its name.
	users map[string]int
}

// liveJob is a job that is not final, and what decisions ask of it again and again: see Core.weigh.
// It stays the same one for as long as the job is live, with other records.
type liveJob struct {
	r *job.Record
	// known is set once the model says what a clip takes: models are the list that it is of. It is
	// the same for all records of a job, whose spec does not change.
	known      bool
	models     job.Models
	footprint  job.Footprint
	operations float64
	// weighed is set once these are known of the record: what the job may still store if it is
	// placed, and what it leaves behind if it is not.
	weighed       bool
	needs, leaves int64
}

// A list of ten thousand kept jobs takes a millisecond to look through, and the names of their
// objects take several to collect. A tick did the first three times, and the second as long as a
// checkpoint waited to be deleted, which under load is always.

// put stores a job, in place of what it was. All changes of jobs go through here and remove.
func (s *state) put(r job.Record) {
	old, known := s.jobs[r.ID]
	r.Spec.Model, r.Spec.DType = one(r.Spec.Model), one(r.Spec.DType)
	s.jobs[r.ID] = &r
	if known {
		s.index.count(old, -1)
	}
	s.index.count(&r, 1)

	if !known || old.State != r.State || old.Attempt != r.Attempt { // else its nodes are the same
		s.index.letGo(old)
		s.index.take(&r)
	}

	switch was := known && !old.State.Final(); {
	case !was && !r.State.Final():
		j := &liveJob{r: &r}
		s.index.live, s.index.of[r.ID] = append(s.index.live, j), j
	case was && r.State.Final():
		s.index.dropLive(r.ID)
	case was:
		j := s.index.of[r.ID]
		j.r, j.weighed = &r, false
	}
}

// one returns the same string for equal ones: each decision compares those of all jobs that wait,
// and of the same string no bytes are looked at.
func one(s string) string { return unique.Make(s).Value() }

// remove forgets a job that is stored. Live jobs are never forgotten as things are; the index would
// follow all the same.
func (s *state) remove(r *job.Record) {
	delete(s.jobs, r.ID)
	s.index.count(r, -1)
	s.index.letGo(r)
	if !r.State.Final() {
		s.index.dropLive(r.ID)
	}
}

func (x *index) dropLive(id job.ID) {
	if at := slices.Index(x.live, x.of[id]); at >= 0 {
		x.live = slices.Delete(x.live, at, at+1)
	}
	delete(x.of, id)
}

// take notes the nodes of a job that runs, and letGo that it has them no more; nil: there was none.
func (x *index) take(r *job.Record) {
	if r.State == job.Running {
		for _, n := range r.Plan.Nodes {
			x.taken[n] = r.ID
		}
	}
}

func (x *index) letGo(r *job.Record) {
	if r == nil || r.State != job.Running {
		return
	}
	for _, n := range r.Plan.Nodes {
		if x.taken[n] == r.ID {
			delete(x.taken, n)
		}
	}
}

// count adds n for a job as it is: 1 for what it has become, -1 for what it was. A record of before
// and after a change counts in full both times, as most changes concern one of few objects.
func (x *index) count(r *job.Record, n int) {
	switch r.State {
	case job.Queued:
		x.queued += n
	case job.Running:
		x.running += n
	}

	// Results, checkpoints and inputs have a name once they are there.
	use := func(o job.Object) {
		if o.Name == "" {
			return
		}
		if x.users[o.Name] += n; x.users[o.Name] == 0 {
			delete(x.users, o.Name)
		}
	}
	eachObject(r, use)
	use(r.Checkpoint.Object)
	use(r.Before.Object)
	for _, o := range r.Parts {
		use(o)
	}
}

// holds reports whether jobs, or the cluster itself, refer to an object. One that nobody refers to
// may be deleted, unless a running job may be storing it again: see Machine.sweepable.
func (s *state) holds(name string) bool {
	if s.index.users[name] > 0 {
		return true
	}
	if s.cluster == "" {
		return false
	}
	if s.marked != s.cluster { // to name an object takes longer than all else of a sweep
		_, o := mark(s.cluster)
		s.marked, s.mark = s.cluster, o.Name
	}
	return s.mark == name
}

// live returns the jobs that are not final and that keep says yes to, in the order of their
// creation; nil means all. It looks at those alone, of which there are a thousand or two at most,
// where Records looks at all that are kept.
func (m *Machine) live(keep func(*job.Record) bool) []*job.Record {
	out := make([]*job.Record, 0, len(m.state.index.live))
	for _, j := range m.state.index.live {
		if keep == nil || keep(j.r) {
			out = append(out, j.r)
		}
	}
	return out
}

// stateOf returns a job's state, "" if there is none of that id.
func (m *Machine) stateOf(id job.ID) job.State {
	if r := m.state.jobs[id]; r != nil {
		return r.State
	}
	return ""
}
