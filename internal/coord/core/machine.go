package core

import (
	"fmt"
	"maps"
	"slices"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/job"
)

// Machine is the replicated state machine: equal logs lead to equal machines on every coordinator.
// It changes by Apply alone. Like a Core it is not safe for concurrent use.
type Machine struct {
	state *state
	// stopped is why the machine takes no more entries: one of them could not be read, so it does not
	// know what the others have decided.
	stopped error
	most    int           // the newest version of entries that it reads
	audited []audit.Entry // of the latest Apply
}

// NewMachine returns a machine to which no entry was applied yet.
func NewMachine() *Machine { return &Machine{state: newState(), most: commandVersion} }

// Apply executes one entry of the log and returns the job that it concerns, as it is afterwards;
// zero if it concerns none. Whatever the bytes, it does not panic. An entry that cannot be read
// stops the machine for good; one that is refused changes nothing but the audit log, on every
// coordinator alike.
func (m *Machine) Apply(index uint64, entry []byte) (job.Record, error) {
	c, err := decodeCommand(entry, m.most)
	if err != nil && m.stopped == nil {
		m.stopped = fmt.Errorf("entry %d of the log cannot be used: %w", index, err)
	}
	m.audited = nil
	if m.stopped != nil {
		return job.Record{}, m.stopped
	}
	r, err := m.state.apply(c)
	m.audited = m.state.note(index, c, r, err)
	return r, err
}

// Record returns a job.
func (m *Machine) Record(id job.ID) (job.Record, bool) {
	if r := m.state.jobs[id]; r != nil {
		return *r, true
	}
	return job.Record{}, false
}

// Records returns the jobs that keep says yes to, in the order of their creation; nil means all.
func (m *Machine) Records(keep func(*job.Record) bool) []job.Record {
	var out []job.Record
	for _, id := range m.state.order {
		if r := m.state.jobs[id]; keep == nil || keep(r) {
			out = append(out, *r)
		}
	}
	return out
}

// Counts returns the numbers of queued, running and all jobs.
func (m *Machine) Counts() (queued, running, all int) {
	return m.state.index.queued, m.state.index.running, len(m.state.jobs)
}

// Models returns the models that the cluster serves. The caller must not change them.
func (m *Machine) Models() job.Models { return m.state.models }

// Model returns the model of a name, or for "" the one of requests that name none. The error is
// ErrNoModel while there is none at all, or a *job.FieldError.
func (m *Machine) Model(name string) (job.Model, error) {
	if len(m.state.models) == 0 {
		return job.Model{}, ErrNoModel
	}
	return m.state.models.Choose(name)
}

// model returns the model of a spec, zero if it is not known any more.
func (m *Machine) model(s job.Spec) job.Model { return m.state.modelFor(commandVersion, s) }

// Members returns the HTTP addresses of coordinators that were added, by id.
func (m *Machine) Members() map[string]string { return maps.Clone(m.state.members) }

// Cluster returns the id under which the object store knows this log, empty if it has none yet.
func (m *Machine) Cluster() string { return m.state.cluster }

// keyed reports whether a job of an owner was created with a key.
func (m *Machine) keyed(owner, key string) bool {
	_, ok := m.state.keys[requestKey(owner, key)]
	return ok && key != ""
}

// drains returns the nodes that get no new work. The caller must not change the map.
func (m *Machine) drains() map[job.NodeID]Drain { return m.state.drains }

// sweepable sorts the trash: spare names objects that a job still refers to, gone lists those to
// delete. What a running job of the same seed may be storing again stays for later, as do inputs
// that wait for their jobs; lapsed names those that have waited long enough.
func (m *Machine) sweepable(lapsed map[string]bool) (spare []string, gone []job.Object) {
	if len(m.state.trash) == 0 {
		return nil, nil
	}
	seeds := map[uint64]bool{}
	for _, j := range m.state.index.live {
		if j.r.State == job.Running {
			seeds[j.r.Spec.Origin()] = true
		}
	}

	for _, t := range m.state.trash {
		switch {
		case m.state.holds(t.Object.Name):
			spare = append(spare, t.Object.Name)
		case !t.Until.IsZero() && !lapsed[t.Object.Name]:
		case t.Own || !seeds[t.Seed]:
			gone = append(gone, t.Object)
		}
	}
	return spare, gone
}

// leases returns what waits in the trash for a job to refer to it.
func (m *Machine) leases() []trash {
	return slices.DeleteFunc(slices.Clone(m.state.trash), func(t trash) bool {
		return t.Until.IsZero()
	})
}

// unknown returns the objects of those names that no job refers to and that are not in the trash.
func (m *Machine) unknown(names []string) []job.Object {
	waits := map[string]bool{}
	for _, t := range m.state.trash {
		waits[t.Object.Name] = true
	}
	var out []job.Object
	for _, name := range names {
		if !waits[name] && !m.state.holds(name) {
			out = append(out, artifact.Named(name))
		}
	}
	return out
}

// ahead returns the number of queued jobs that were created before id.
func (m *Machine) ahead(id job.ID) int {
	n := 0
	for _, other := range m.state.order {
		if other == id {
			break
		}
		if m.state.jobs[other].State == job.Queued {
			n++
		}
	}
	return n
}
