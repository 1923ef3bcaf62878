package coord

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/longtake/longtake/internal/coord/core"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Recovered is what a data directory holds after Recover.
type Recovered struct {
	Jobs    int    // known
	Last    uint64 // the last entry that counts
	Dropped uint64 // entries that could not be used, nor those behind them
	Members []Peer
}

// Recover makes the coordinator of cfg.Data a member of a cluster of the given peers, none for one
// that is alone, as if they had agreed on that: for the day on which the majority of a cluster is
// lost for good. What was decided, as far as this coordinator has heard, is kept. The coordinator
// must not run. If drop is set, entries that are damaged are given up with those behind them, as
// are snapshots that cannot be read and a log that does not fit what is left; otherwise the error
// names them, and nothing is changed.
func Recover(cfg Config, peers []Peer, drop bool) (r Recovered, err error) {
	cfg.fill()
	servers, err := membership(cfg, peers)
	if err != nil {
		return r, fmt.Errorf("cannot recover: %w", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, "raft.db")); err != nil && !drop {
		return r, fmt.Errorf("cannot recover data directory %s: %w; with --drop-damaged the latest "+
			"snapshot counts", cfg.Data, err)
	}
	if r.Members = peers; len(peers) == 0 {
		r.Members = []Peer{{ID: cfg.ID}}
	}

	log, snaps, x, err := openDamaged(cfg.Data, drop, &r)
	if err != nil {
		return r, fmt.Errorf("cannot recover data directory %s: %w", cfg.Data, err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	files, err := openAudit(cfg, func(write func() error) error { return write() })
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, files.files.Close()) }()
	m := &throwaway{core.NewMachine(), files.files}
	_, t := raft.NewInmemTransport(servers.Servers[0].Address)
	defer t.Close()
	err = guarded(func() error {
		return raft.RecoverCluster(raftConfig(cfg, hclog.NewNullLogger()), m, log, log, snaps, t,
			servers)
	})
	if err != nil {
		return r, fmt.Errorf("cannot recover: %w", err)
	}
	r.Jobs, r.Last = len(m.machine.Records(nil)), x.last
	return r, nil
}

// membership is Raft's configuration of the peers, of which this coordinator has to be one; of
// none, of this coordinator alone.
func membership(cfg Config, peers []Peer) (raft.Configuration, error) {
	if len(peers) == 0 {
		return raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(cfg.ID),
			Address: raft.ServerAddress(cfg.ID)}}}, nil
	}

	var out raft.Configuration
	own := false
	for _, p := range peers {
		if err := errors.Join(core.CheckAddress(p.ID, p.HTTP), checkHostPort(p.Raft)); err != nil {
			return out, err
		}
		own = own || p.ID == cfg.ID
		out.Servers = append(out.Servers, raft.Server{ID: raft.ServerID(p.ID),
			Address: raft.ServerAddress(p.Raft)})
	}
	if !own {
		return out, fmt.Errorf("the peers do not include this coordinator, %s", cfg.ID)
	}
	return out, nil
}

// openDamaged opens what there is. With drop, what cannot be used is put out of the way.
func openDamaged(dir string, drop bool, r *Recovered) (log *guardedLog, snaps raft.SnapshotStore,
	x examined, err error) {
	aside := func(name string) error {
		from := filepath.Join(dir, name)
		return os.Rename(from, fmt.Sprintf("%s.damaged-%d", from, time.Now().UnixNano()))
	}

	log, err = openLog(dir)
	if damage := new(broken); drop && errors.As(err, &damage) {
		if err = aside("raft.db"); err == nil {
			log, err = openLog(dir)
		}
	}
	if err != nil {
		return nil, nil, x, err
	}
	defer func() {
		if err != nil {
			log.Close() //nolint:errcheck // what matters is said
		}
	}()

	for range 4 { // a damaged snapshot, then entries, then a log that does not fit
		snaps, err = raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, hclog.NewNullLogger())
		if err != nil {
			return log, nil, x, err
		}
		if x, err = examine(dir, log, snaps); err == nil || !drop {
			return log, snaps, x, err
		}
		if err = x.giveUp(log, aside, r); !errors.Is(err, core.ErrCorrupt) {
			continue
		}
		if err = errors.Join(log.Close(), aside("raft.db")); err == nil {
			log, err = openLog(dir)
		}
		if err != nil {
			return log, snaps, x, err
		}
	}
	return log, snaps, x, err
}

// giveUp drops what examine could not use: damaged entries with those after them, or files that
// cannot be read, which aside renames so that they can still be looked at.
func (x examined) giveUp(log *guardedLog, aside func(string) error, r *Recovered) error {
	switch {
	case x.bad > 0:
		r.Dropped += x.last - x.bad + 1
		return log.DeleteRange(x.bad, x.last)
	case x.last > 0 && x.snapshot != nil: // there is a gap behind the snapshot
		r.Dropped += x.last - x.first + 1
		return log.DeleteRange(x.first, x.last)
	case x.snapshot != nil: // the log is new, and knows no term
		return log.SetUint64([]byte("CurrentTerm"), x.snapshot.Term)
	case x.last > 0: // it goes on from a snapshot that is gone
		return nil
	}
	return aside(snapshotsDir)
}
