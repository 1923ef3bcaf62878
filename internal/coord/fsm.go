package coord

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// fsm is the replicated state machine: Raft's goroutine applies commands, everyone reads.
type fsm struct {
	mu      sync.RWMutex
	state   *state
	changed func(job.ID) // after a command that concerns a job; called without the lock
}

var _ raft.FSM = (*fsm)(nil)

// outcome is what Apply returns for a command.
type outcome struct {
	record job.Record
	err    error
}

// Apply executes one log entry and returns an outcome. Whatever the bytes, it does not panic.
func (f *fsm) Apply(l *raft.Log) any {
	c, err := decodeCommand(l.Data)
	if err != nil {
		return outcome{err: err}
	}
	f.mu.Lock()
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
	Model   job.Model    `json:"model"`
	Jobs    []job.Record `json:"jobs"` // by creation
	Trash   []trash      `json:"trash"`
	Drains  []Drain      `json:"drains,omitempty"` // by node

	Members map[string]string `json:"members,omitempty"`
}

// Snapshot copies the state. Equal states give equal bytes.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := &snapshot{Version: commandVersion, Model: f.state.model, Trash: slices.Clone(f.state.trash),
		Members: maps.Clone(f.state.members)}
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

// Restore replaces the state by a snapshot.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	var s snapshot
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return fmt.Errorf("cannot read a snapshot: %w", err)
	}
	if s.Version < 1 || s.Version > commandVersion {
		return fmt.Errorf("cannot read a snapshot of version %d; known: 1 to %d", s.Version,
			commandVersion)
	}
	next := newState()
	next.model, next.trash = s.Model, s.Trash
	for _, rec := range s.Jobs {
		next.jobs[rec.ID] = rec
		next.order = append(next.order, rec.ID)
		if rec.Key != "" {
			next.keys[rec.Key] = rec.ID
		}
	}
	maps.Copy(next.members, s.Members)
	for _, d := range s.Drains {
		next.drains[d.Node] = d
	}
	f.mu.Lock()
	f.state = next
	f.mu.Unlock()
	return nil
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
// that wait for their jobs.
func (f *fsm) sweepable(now time.Time) (spare []string, gone []job.Object) {
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
		case t.Until.After(now):
		case t.Own || !seeds[t.Seed]:
			gone = append(gone, t.Object)
		}
	}
	return spare, gone
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
