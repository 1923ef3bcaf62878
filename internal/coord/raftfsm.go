package coord

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// outcome is what applying an entry gave: the job afterwards, or the command's error.
type outcome struct {
	record job.Record
	err    error
}

// replicated is the machine as Raft sees it. Raft's goroutines call it; it hands all of it to the
// loop and waits. Once the loop has ended, entries are not applied any more, and no snapshot is
// taken that would say otherwise.
type replicated struct {
	loop  *loop
	audit *auditor
	// stop is called with why the machine takes no more entries, perhaps several times.
	stop func(error)
	// authority is called with what the machine knows of certificates, after each entry.
	authority func(*core.Authority)
}

var _ raft.FSM = (*replicated)(nil)

// Apply implements raft.FSM. It returns an outcome.
func (f *replicated) Apply(l *raft.Log) any {
	out := outcome{err: errClosed}
	f.loop.read(func() {
		out.record, out.err = f.loop.core.Apply(l.Index, l.Data)
		f.audit.write(f.loop.core.Machine().Audited())
		f.authority(f.loop.core.Machine().Authority())
		if err := f.loop.core.Err(); err != nil {
			f.stop(err)
		}
	})
	return out
}

// Snapshot implements raft.FSM.
func (f *replicated) Snapshot() (raft.FSMSnapshot, error) {
	s, err := f.copy()
	if err != nil {
		return nil, err
	}
	return written{s, f.audit.files}, nil
}

func (f *replicated) copy() (s *core.Snapshot, err error) {
	if !f.loop.read(func() { s, err = f.loop.core.Snapshot() }) {
		return nil, fmt.Errorf("cannot take a snapshot: %w", errClosed)
	}
	return s, err
}

// Restore implements raft.FSM. On an error nothing has changed.
func (f *replicated) Restore(r io.ReadCloser) error {
	defer r.Close()
	m, err := core.ReadSnapshot(r)
	if err != nil {
		return err
	}
	if !f.loop.read(func() {
		f.loop.core.Restore(m)
		f.audit.restart(m)
		f.authority(m.Authority())
	}) {
		return fmt.Errorf("cannot restore a snapshot: %w", errClosed)
	}
	return nil
}

// written is a snapshot on its way into Raft's files.
type written struct {
	*core.Snapshot
	audit *audit.Log
}

// Persist implements raft.FSMSnapshot. Raft lets go of the entries before the snapshot once it has
// returned, and with them of what the audit's entries could be derived from again.
func (s written) Persist(sink raft.SnapshotSink) error {
	err := s.audit.Sync()
	if err == nil {
		err = s.Write(sink)
	}
	if err != nil {
		sink.Cancel() //nolint:errcheck // the first error counts
		return err
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s written) Release() {}

// throwaway is a machine for Raft's tools, which run alone. It goes on with the files of the audit
// log, if it has them; without, it takes no snapshots.
type throwaway struct {
	machine *core.Machine
	audit   *audit.Log
}

var _ raft.FSM = (*throwaway)(nil)

// Apply implements raft.FSM.
func (f *throwaway) Apply(l *raft.Log) any {
	r, err := f.machine.Apply(l.Index, l.Data)
	for _, e := range f.machine.Audited() {
		if f.audit == nil {
			break
		}
		f.audit.Append(e) //nolint:errcheck // Sync says it
	}
	return outcome{r, err}
}

// Snapshot implements raft.FSM.
func (f *throwaway) Snapshot() (raft.FSMSnapshot, error) {
	s, err := f.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return written{s, f.audit}, nil
}

// Restore implements raft.FSM.
func (f *throwaway) Restore(r io.ReadCloser) (err error) {
	defer r.Close()
	m, err := core.ReadSnapshot(r)
	if err == nil {
		f.machine = m
	}
	if err == nil && f.audit != nil {
		f.audit.Restart(m.AuditHead(), m.AuditRecent())
	}
	return err
}
