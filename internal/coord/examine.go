package coord

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/longtake/longtake/internal/coord/core"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// snapshotsDir is where Raft keeps snapshots, under the data directory.
const snapshotsDir = "snapshots"

// remedy says what can be done about a data directory that cannot be used.
func remedy(dir string) string {
	return fmt.Sprintf("to go on, put back a copy of %s, or give this coordinator an empty directory "+
		"and let the others add it as a new member, or, where no other has what was decided, run "+
		"coordinator recover", dir)
}

// broken is a data directory that cannot be used: one line that says what is wrong and what to do.
type broken struct {
	dir string
	err error
}

// Error implements error.
func (b *broken) Error() string {
	return fmt.Sprintf("data directory %s: %v; %s", b.dir, b.err, remedy(b.dir))
}

// Unwrap returns what is wrong.
func (b *broken) Unwrap() error { return b.err }

// examined is what a data directory holds.
type examined struct {
	snapshot    *raft.SnapshotMeta // the latest that can be read; nil: none
	first, last uint64             // of the log; 0: it is empty
	bad         uint64             // the first entry that cannot be read, 0: all can
	why         error              // of bad
}

// examine reads all that a coordinator will start from: the latest snapshot and every entry of the
// log. The error says what is missing or damaged; what could be read comes with it.
func examine(dir string, log *guardedLog, snaps raft.SnapshotStore) (x examined, err error) {
	if x.snapshot, err = latest(dir, snaps); err != nil {
		return x, err
	}
	if x.first, err = log.FirstIndex(); err != nil {
		return x, fmt.Errorf("raft.db: %w", err)
	}
	if x.last, err = log.LastIndex(); err != nil {
		return x, fmt.Errorf("raft.db: %w", err)
	}

	base := uint64(0)
	if x.snapshot != nil {
		base = x.snapshot.Index
	}
	_, err = log.GetUint64([]byte("CurrentTerm"))
	switch {
	case base > 0 && x.last == 0 && errors.Is(err, raftboltdb.ErrKeyNotFound):
		return x, fmt.Errorf("raft.db is missing or empty, and %s is not", snapshotsDir)
	case err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound):
		return x, fmt.Errorf("raft.db: %w", err)
	case x.last > 0 && x.first > base+1:
		return x, fmt.Errorf("raft.db begins at entry %d, and the latest snapshot that can be read ends "+
			"at %d: what is between them is gone", x.first, base)
	}

	// Every entry is read: Raft itself would find a damaged one only when somebody needs it.
	for i := x.first; i > 0 && i <= x.last; i++ {
		var l raft.Log
		if err := log.GetLog(i, &l); err != nil {
			x.bad, x.why = i, err
		} else if err := checkEntry(&l); err != nil {
			x.bad, x.why = i, err
		}
		if x.bad > 0 {
			return x, fmt.Errorf("entry %d of %d of raft.db cannot be used: %w", x.bad, x.last, x.why)
		}
	}
	return x, nil
}

// latest reads snapshots from the latest on, up to the first that is good. The error is that of the
// latest, if none is.
func latest(dir string, snaps raft.SnapshotStore) (*raft.SnapshotMeta, error) {
	all, err := snaps.List()
	if err != nil {
		return nil, fmt.Errorf("cannot list snapshots: %w", err)
	}

	var first error
	for _, m := range all {
		if err = tryOut(snaps, m.ID); err == nil {
			return m, nil
		}
		if first == nil {
			first = fmt.Errorf("snapshot %s cannot be used: %w", filepath.Join(snapshotsDir, m.ID), err)
		}
	}
	if first != nil {
		return nil, first
	}

	// A folder whose description cannot be read is not listed; one that was not finished is none.
	entries, err := os.ReadDir(filepath.Join(dir, snapshotsDir))
	if err != nil {
		return nil, fmt.Errorf("cannot list snapshots: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tmp") {
			return nil, fmt.Errorf("snapshot %s cannot be used: %w",
				filepath.Join(snapshotsDir, e.Name()), core.ErrCorrupt)
		}
	}
	return nil, nil
}

// tryOut reads a snapshot into a machine that is thrown away.
func tryOut(snaps raft.SnapshotStore, id string) error {
	_, r, err := snaps.Open(id)
	if err != nil {
		return fmt.Errorf("%w: %w", core.ErrCorrupt, err)
	}
	defer r.Close()
	_, err = core.ReadSnapshot(r)
	return err
}
