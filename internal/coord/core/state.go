package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/rollout"
)

// state is what Raft replicates. Its methods are deterministic: they read no clock and draw nothing
// at random, and where the order of a map would show they sort. Records and slices in it are never
// written through, only replaced, so that a copy of the maps is a snapshot.
type state struct {
	// mark is the name of the object that marks the store of cluster marked, once that was asked.
	marked, mark string

	// cluster is the id under which the object store knows this log; empty until the first leader
	// has looked at it.
	cluster string
	// version is what all coordinators read; 0: VersionFirst.
	version int

	models job.Models // in the order in which shards came with them
	jobs   map[job.ID]*job.Record
	order  []job.ID          // by creation
	index  index             // of jobs, which changes with put and remove
	keys   map[string]job.ID // of idempotent requests
	// trash lists objects that may have to be deleted, the oldest first. An object may be in it more
	// than once, and may still have users: the leader looks before it deletes.
	trash []trash

	drains map[job.NodeID]Drain // nodes that get no new work
	// drainChanges counts changes of drains here; it is not replicated.
	drainChanges int
	usage        usageState

	audit     auditState // the end of the audit log
	authority *Authority // of certificates; nil: nothing is known of any

	rollouts map[string]rollout.Rule // who may use which models and features, by name

	members map[string]string // HTTP addresses of coordinators that were added, by id

	shares *sharesState
	access accessState // keys and teams
}

// trash is an object that no job refers to any more, or not yet, and that the leader has to delete.
type trash struct {
	Object job.Object `json:"object"`
	// Seed is the job's Spec.Origin; a running one of the same may store the object again.
	Seed uint64 `json:"seed"`
	Own  bool   `json:"own,omitempty"` // no other job can store it
	// Until is when an input may be deleted to which no job refers; zero: at once.
	Until time.Time `json:"until,omitzero"`
}

func newState() *state {
	return &state{jobs: map[job.ID]*job.Record{}, keys: map[string]job.ID{},
		index:  index{users: map[string]int{}, taken: map[job.NodeID]job.ID{}, of: map[job.ID]*liveJob{}},
		drains: map[job.NodeID]Drain{}, members: map[string]string{}, shares: newShares(),
		usage: newUsageState(), rollouts: map[string]rollout.Rule{}}
}

// apply executes one command; on an error nothing has changed. The record is the command's job
// afterwards, zero if there is none.
func (s *state) apply(c command) (job.Record, error) {
	switch c.Kind {
	case kindCreate:
		return s.create(c)
	case kindDelete:
		return s.delete(c.Job)
	case kindModel:
		return job.Record{}, s.setModel(c)
	case kindForget:
		return job.Record{}, s.forgetModels(c.Models)
	case kindSwept:
		s.sweep(c)
		return job.Record{}, nil
	case kindDrain, kindUndrain:
		return job.Record{}, s.drain(c)
	case kindMember:
		return job.Record{}, s.member(c)
	case kindLease:
		return job.Record{}, s.lease(c)
	case kindCluster:
		return job.Record{}, s.name(c.Cluster)
	case kindSettle:
		return job.Record{}, s.settle(c)
	case kindAuthority:
		return job.Record{}, s.changeAuthority(c)
	case kindVersion:
		return job.Record{}, s.raise(c.Speaks)
	case kindAccess:
		return job.Record{}, s.access.apply(c)
	case kindAuditBegin, kindAudit:
		return job.Record{}, s.applyAudit(c)
	case kindRollout:
		return job.Record{}, s.setRollout(c)
	}

	// All other kinds move one job from a state to another.
	known := s.jobs[c.Job]
	if known == nil {
		return job.Record{}, fmt.Errorf("job %.64s: %w", c.Job, ErrNotFound)
	}
	old := *known

	r, err := transition(old, c)
	if err == nil {
		r = metered(c, old, r)
		err = cmp.Or(c.Meter.check(), s.check(c.Kind, &old, &r))
	}
	if err != nil {
		return old, err
	}
	s.put(r)
	s.follow(c, old, r)
	s.usage.note(c, old, r)
	s.discard(old, r)
	return r, nil
}

// add takes a new job in.
func (s *state) add(r job.Record) {
	s.put(r)
	s.order = append(s.order, r.ID)
	if r.Key != "" {
		s.keys[requestKey(r.Owner, r.Key)] = r.ID
	}
}

// requestKey is what a repeated create is known by: keys of different owners have nothing to do
// with each other.
func requestKey(owner, key string) string {
	if owner == "" {
		return key
	}
	return owner + "\x00" + key
}

// sweep takes out of the trash what is gone, and what a job refers to. A job that did when the
// leader looked may have been deleted since, and then its object stays in the trash.
func (s *state) sweep(c command) {
	s.trash = slices.DeleteFunc(slices.Clone(s.trash), func(t trash) bool {
		name := t.Object.Name
		return slices.Contains(c.Swept, name) || slices.Contains(c.Spared, name) && s.holds(name)
	})
}

// lease puts an input into the trash that is about to be stored, to stay there until its time is
// over or a job refers to it.
func (s *state) lease(c command) error {
	if c.Lease == nil || c.Lease.Until.IsZero() {
		return fmt.Errorf("cannot apply an incomplete %s command", c.Kind)
	}

	l := *c.Lease
	if err := l.Object.Check(); err != nil {
		return fmt.Errorf("cannot keep an input: %w", err)
	}
	others, leased := []trash(nil), 0
	for _, t := range s.trash {
		if t.Object.Name == l.Object.Name {
			continue
		}
		if others = append(others, t); !t.Until.IsZero() {
			leased++
		}
	}

	if leased >= leasesKept {
		return fmt.Errorf("%w: %d inputs wait for their jobs", ErrQueueFull, leased)
	}
	s.trash = append(others, trash{Object: l.Object, Until: l.Until})
	return nil
}

// leasesKept bounds the inputs that no job refers to.
const leasesKept = 1024

// knows reports whether a job refers to an object, or it is in the trash still.
func (s *state) knows(o job.Object) bool {
	if slices.ContainsFunc(s.trash, func(t trash) bool { return t.Object == o }) {
		return true
	}
	for _, r := range s.jobs {
		if slices.Contains(objects(r), o) {
			return true
		}
	}
	return false
}

// discard puts into the trash what old refers to and r does not. Parts may be stored again by
// another job of the same seed.
func (s *state) discard(old, r job.Record) {
	for _, o := range []job.Object{old.Checkpoint.Object, old.Before.Object} {
		if o.Name != "" && o != r.Checkpoint.Object && o != r.Before.Object {
			s.trash = append(slices.Clip(s.trash), trash{Object: o, Own: true})
		}
	}
	if r.Parts != nil {
		return // they only grow while the job lives
	}
	results := objects(&r)
	for _, name := range slices.Sorted(maps.Keys(old.Parts)) {
		if o := old.Parts[name]; !slices.Contains(results, o) {
			s.trash = append(slices.Clip(s.trash), trash{Object: o, Seed: r.Spec.Origin()})
		}
	}
}

// name gives the cluster its id, once.
func (s *state) name(id string) error {
	if err := checkCluster(id); err != nil || id == "" {
		return cmp.Or(err, fmt.Errorf("cannot apply an incomplete %s command", kindCluster))
	}
	if s.cluster == "" {
		s.cluster = id
	}
	return nil
}

// member notes where a coordinator's API is, or that it is gone.
func (s *state) member(c command) error {
	if c.Member == nil {
		return fmt.Errorf("cannot apply an incomplete %s command", c.Kind)
	}
	p := c.Member
	if err := CheckAddress(p.ID, p.HTTP); err != nil {
		return err
	}

	switch {
	case p.HTTP == "":
		delete(s.members, p.ID)
	case len(s.members) >= membersKept:
		return fmt.Errorf("cannot add coordinator %s: %d are known", p.ID, membersKept)
	default:
		s.members[p.ID] = p.HTTP
	}
	return nil
}

// membersKept bounds the coordinators that were added.
const membersKept = 64

// transition moves an existing job. Which moves are allowed, and what a repeated one gives, is up
// to package job.
func transition(r job.Record, c command) (job.Record, error) {
	switch {
	case c.Kind == kindPlace && c.Plan != nil:
		return r.Place(*c.Plan, c.Now)
	case c.Kind == kindComplete && c.Result != nil:
		return r.Complete(c.Attempt, *c.Result, c.Now)
	case c.Kind == kindSave && c.Checkpoint != nil:
		return r.Save(c.Attempt, *c.Checkpoint, c.Now)
	case c.Kind == kindKeep && c.Part != nil:
		return r.Keep(c.Attempt, c.Part.Name, c.Part.Object)
	case c.Kind == kindLose && c.Setback != nil:
		return r.Lose(c.Attempt, *c.Setback, c.Now)

	// These need no more than the number of the attempt, or not even that.
	case c.Kind == kindFail:
		return r.Fail(c.Attempt, c.Reason, c.Now)
	case c.Kind == kindCancel:
		return r.RequestCancel(c.Now)
	case c.Kind == kindCancelled:
		return r.ConfirmCancel(c.Attempt, c.Now)
	}
	return r, fmt.Errorf("cannot apply a command of kind %.32q: unknown or incomplete", c.Kind)
}

// create adds a job, or returns the one that has its key already.
func (s *state) create(c command) (job.Record, error) {
	if c.Create == nil || c.Job == "" {
		return job.Record{}, fmt.Errorf("cannot apply an incomplete %s command", c.Kind)
	}
	r := job.New(c.Job, c.Create.Key, c.Create.Spec, c.Now)
	if c.Version >= ownersSince {
		r.Owner, r.Team, r.Estimate = c.Create.Owner, c.Create.Team, c.Create.Estimate
	}
	if err := cmp.Or(s.check(c.Kind, nil, &r),
		workable(s.modelFor(c.Version, r.Spec), r.Spec)); err != nil {
		return job.Record{}, err
	}

	if id, ok := s.keys[requestKey(r.Owner, r.Key)]; ok && r.Key != "" {
		return *s.jobs[id], nil
	}
	if s.jobs[c.Job] != nil {
		return job.Record{}, fmt.Errorf("cannot create job %s: it exists", c.Job)
	}

	if n := c.Create.KeptMax; n < 1 || n > keptMost {
		return job.Record{}, fmt.Errorf("cannot create a job where %d are kept; allowed: 1 to %d", n,
			keptMost)
	}
	if queued := s.index.queued; queued >= c.Create.QueuedMax {
		return job.Record{}, fmt.Errorf("%w: %d jobs wait", ErrQueueFull, queued)
	}

	if c.Version >= ownersSince {
		if err := s.admits(c.Create); err != nil {
			return job.Record{}, err
		}
	}
	for _, in := range c.Create.Spec.Inputs {
		if !s.knows(in.Object) {
			return job.Record{}, fmt.Errorf("cannot create the job: what it starts from, %.64q, is %w",
				in.Object.Name, ErrNotFound)
		}
	}

	if c.Version >= ownersSince {
		s.noteQuota(r.Owner, c.Create.Quota)
	}
	// From here on it is taken; older jobs go where there are too many.
	s.evict(c.Create.KeptMax - 1)
	s.add(r)
	return r, nil
}

// evict forgets the oldest final jobs until at most n are kept, or only live ones are left.
func (s *state) evict(n int) {
	for i := 0; i < len(s.order) && len(s.order) > n; {
		if r := s.jobs[s.order[i]]; r.State.Final() {
			s.forget(r)
			continue
		}
		i++
	}
}

// delete forgets a final job.
func (s *state) delete(id job.ID) (job.Record, error) {
	r := s.jobs[id]
	if r == nil {
		return job.Record{}, fmt.Errorf("job %s: %w", id, ErrNotFound)
	}
	if err := r.Delete(); err != nil {
		return *r, err
	}
	s.forget(r)
	return *r, nil
}

// forget removes a job and puts its objects into the trash.
func (s *state) forget(r *job.Record) {
	s.remove(r)
	if key := requestKey(r.Owner, r.Key); s.keys[key] == r.ID {
		delete(s.keys, key)
	}
	s.order = slices.DeleteFunc(slices.Clone(s.order), func(id job.ID) bool { return id == r.ID })
	for _, o := range objects(r) {
		s.trash = append(slices.Clip(s.trash), trash{Object: o, Seed: r.Spec.Origin()})
	}
}

// objects returns what r's result points to, and what r is made from.
func objects(r *job.Record) (all []job.Object) {
	eachObject(r, func(o job.Object) {
		if o.Name != "" {
			all = append(all, o)
		}
	})
	return all
}

// eachObject calls use with each of objects, and with empty ones for what is not there.
func eachObject(r *job.Record, use func(job.Object)) {
	use(r.Result.Video)
	use(r.Result.Latents)
	for i := range r.Spec.Inputs {
		use(r.Spec.Inputs[i].Object)
	}
}
