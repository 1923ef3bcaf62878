package coord

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// fsm is the replicated state machine: Raft's goroutine applies commands, everyone reads.
type fsm struct {
	mu      sync.RWMutex
	state   *state
	changed func(job.ID) // after a command that concerns a job; called without the lock
	// stop hears of an entry that cannot be read. From then on the machine takes no more: it does not
	// know what the others have decided.
	stop    func(error)
	stopped error
}

var _ raft.FSM = (*fsm)(nil)

// outcome is what Apply returns for a command.
type outcome struct {
	record job.Record
	err    error
}

// Apply executes one log entry and returns an outcome. Whatever the bytes, it does not panic. An
// entry that cannot be read stops the machine; one that is refused changes nothing, on every
// coordinator alike.
func (f *fsm) Apply(l *raft.Log) any {
	c, err := decodeCommand(l.Data)
	if err != nil {
		err = fmt.Errorf("entry %d of the log cannot be used: %w", l.Index, err)
	}
	f.mu.Lock()
	if err != nil && f.stopped == nil {
		f.stopped = err
		if f.stop != nil {
			defer f.stop(err)
		}
	}
	if f.stopped != nil {
		defer f.mu.Unlock()
		return outcome{err: f.stopped}
	}
	r, err := f.state.apply(c)
	f.mu.Unlock()
	if err == nil && f.changed != nil {
		f.changed(c.Job)
	}
	return outcome{record: r, err: err}
}

// snapshot is the state at one index, as it is written.
type snapshot struct {
	Version int          `json:"v"`
	Cluster string       `json:"cluster,omitempty"` // id of the cluster
	Model   job.Model    `json:"model"`
	Jobs    []job.Record `json:"jobs"` // by creation
	Trash   []trash      `json:"trash"`
	Drains  []Drain      `json:"drains,omitempty"` // by node

	Members map[string]string `json:"members,omitempty"`
}

// Snapshot copies the state. Equal states give equal bytes.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped != nil {
		return nil, fmt.Errorf("cannot take a snapshot: %w", f.stopped)
	}
	s := &snapshot{Version: commandVersion, Cluster: f.state.cluster, Model: f.state.model,
		Trash: slices.Clone(f.state.trash), Members: maps.Clone(f.state.members)}
	for _, id := range f.state.order {
		s.Jobs = append(s.Jobs, f.state.jobs[id])
	}
	for _, id := range slices.Sorted(maps.Keys(f.state.drains)) {
		s.Drains = append(s.Drains, f.state.drains[id])
	}
	return s, nil
}

// Persist writes the snapshot; called once, by Raft.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s *snapshot) write(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(s); err != nil {
		return fmt.Errorf("cannot write a snapshot: %w", err)
	}
	return nil
}

// Release does nothing: the copy is garbage-collected.
func (s *snapshot) Release() {}

// Restore replaces the state by a snapshot. On an error nothing has changed.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	next, err := readSnapshot(r)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.state = next
	f.mu.Unlock()
	return nil
}

// readSnapshot reads a state and checks all of it.
func readSnapshot(r io.Reader) (*state, error) {
	var s snapshot
	d := json.NewDecoder(io.LimitReader(r, SnapshotMax))
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("cannot read a snapshot: %w: %w", errDamaged, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read a snapshot: %w: it goes on behind its end", errDamaged)
	}
	if s.Version < 1 || s.Version > commandVersion {
		return nil, fmt.Errorf("cannot read a snapshot of version %d; known: 1 to %d", s.Version,
			commandVersion)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("cannot use a snapshot: %w", err)
	}
	next := newState()
	next.cluster, next.model, next.trash = s.Cluster, s.Model, s.Trash
	for _, rec := range s.Jobs {
		next.add(rec)
	}
	maps.Copy(next.members, s.Members)
	for _, d := range s.Drains {
		next.drains[d.Node] = d
	}
	return next, nil
}

// get returns a job.
func (f *fsm) get(id job.ID) (job.Record, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	r, ok := f.state.jobs[id]
	return r, ok
}

// keyed reports whether a job was created with a key.
func (f *fsm) keyed(key string) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	_, ok := f.state.keys[key]
	return ok && key != ""
}

// members returns the HTTP addresses of coordinators that were added.
func (f *fsm) members() map[string]string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return maps.Clone(f.state.members)
}

// cluster returns the id of the cluster, empty if it has none yet.
func (f *fsm) cluster() string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.cluster
}

// drains returns the nodes that get no new work.
func (f *fsm) drains() map[job.NodeID]Drain {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return maps.Clone(f.state.drains)
}

// model returns the model, zero if there is none yet.
func (f *fsm) model() job.Model {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.model
}

// all returns the jobs that keep says yes to, in the order of creation; nil means all.
func (f *fsm) all(keep func(job.Record) bool) []job.Record {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var out []job.Record
	for _, id := range f.state.order {
		if r := f.state.jobs[id]; keep == nil || keep(r) {
			out = append(out, r)
		}
	}
	return out
}

// sweepable sorts the trash: spare names objects that a job still refers to, gone lists those to
// delete. What a running job of the same seed may be storing anew stays for later, as do inputs
// that wait for their jobs; lapsed names those that have waited long enough.
func (f *fsm) sweepable(lapsed map[string]bool) (spare []string, gone []job.Object) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if len(f.state.trash) == 0 {
		return nil, nil
	}
	held, seeds := f.state.held(), map[uint64]bool{}
	for r := range maps.Values(f.state.jobs) {
		if r.State == job.Running {
			seeds[r.Spec.Seed] = true
		}
	}
	for _, t := range f.state.trash {
		switch {
		case held[t.Object.Name]:
			spare = append(spare, t.Object.Name)
		case !t.Until.IsZero() && !lapsed[t.Object.Name]:
		case t.Own || !seeds[t.Seed]:
			gone = append(gone, t.Object)
		}
	}
	return spare, gone
}

// leases returns what waits on the trash for a job to refer to it.
func (f *fsm) leases() []trash {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(f.state.trash), func(t trash) bool {
		return t.Until.IsZero()
	})
}

// unknown returns the objects of those names that no job owns and that are not on the trash.
func (f *fsm) unknown(names []string) []job.Object {
	f.mu.RLock()
	defer f.mu.RUnlock()
	known := f.state.held()
	for _, t := range f.state.trash {
		known[t.Object.Name] = true
	}
	var out []job.Object
	for _, name := range names {
		if !known[name] {
			out = append(out, artifact.Named(name))
		}
	}
	return out
}

// ids returns the ids of all jobs in the order of creation.
func (f *fsm) ids() []job.ID {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Clone(f.state.order)
}

// ahead returns the number of queued jobs before id.
func (f *fsm) ahead(id job.ID) int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n := 0
	for _, other := range f.state.order {
		if other == id {
			break
		}
		if f.state.jobs[other].State == job.Queued {
			n++
		}
	}
	return n
}

// counts returns the numbers of queued, running and all jobs.
func (f *fsm) counts() (queued, running, all int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	queued, running = f.state.counts()
	return queued, running, len(f.state.jobs)
}
