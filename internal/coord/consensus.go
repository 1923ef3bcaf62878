package coord

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/disk"
)

// consensus is this coordinator's Raft node with the log and the transport under it. Its methods
// may be called from any goroutine except the loop's, which Raft waits for when it applies entries.
type consensus struct {
	raft      *raft.Raft   // nil until openRaft has started it
	store     *guardedLog  // Raft's log on the disk
	log       *spaciousLog // the same, with what is kept back for a full disk
	transport raft.Transport
	started   atomic.Pointer[raft.Raft] // raft, for the transport, which Raft uses while it starts
	// down is closed once Raft has stopped; what was asked of it before is not answered any more.
	down     chan struct{}
	stopping sync.Once
	apply    time.Duration // for an entry to be taken by Raft

	// asking is held, to read, while Raft is asked whether this one leads: it never answers a
	// question that is pending when it stops. closed is guarded by it.
	asking sync.RWMutex
	closed bool
}

const (
	snapshotsKept = 2                      // on the disk: the latest may turn out to be damaged
	lockWait      = 500 * time.Millisecond // for another process to leave the data directory
	raftPool      = 3                      // connections to each peer
	raftIO        = 5 * time.Second        // for a message to a peer
)

// openLog opens Raft's log, which also locks the data directory. The error is a *broken where the
// file cannot be read, and not where the disk is full or another process runs.
func openLog(dir string) (*guardedLog, error) {
	g := &guardedLog{fatal: func(error) {}}
	err := guarded(func() (err error) {
		g.store, err = raftboltdb.New(raftboltdb.Options{
			Path: filepath.Join(dir, "raft.db"), BoltOptions: &bbolt.Options{Timeout: lockWait},
		})
		return err
	})

	// Only what a copy of the directory, or a new member, would help against is called broken.
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("cannot use data directory %s: another process holds it", dir)
	case disk.IsFull(err), errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("cannot open Raft's log in %s: %w", dir, err)
	case err != nil:
		return nil, &broken{dir, fmt.Errorf("cannot open raft.db: %w", err)}
	}
	return g, nil
}

// openRaft starts Raft on an open log, which it takes over: on an error the log is closed. Raft
// restores its latest snapshot into f before openRaft returns.
func openRaft(cfg Config, store *guardedLog, f raft.FSM, room *space,
) (_ *consensus, err error) {
	c := &consensus{store: store, apply: cfg.Timing.Apply, down: make(chan struct{})}
	defer func() {
		if err != nil {
			c.close()
		}
	}()

	logger := raftLog(cfg.Log)
	snaps, err := raft.NewFileSnapshotStoreWithLogger(cfg.Data, snapshotsKept, logger)
	if err != nil {
		return nil, fmt.Errorf("cannot open snapshots in %s: %w", cfg.Data, err)
	}

	// Raft panics where it cannot read its log, and trusts what it can: so all of it is read before.
	if _, err := examine(cfg.Data, store, snaps); err != nil {
		return nil, &broken{cfg.Data, err}
	}
	addr, err := c.listen(cfg, logger)
	if err != nil {
		return nil, err
	}
	if err := c.bootstrap(cfg, addr, snaps); err != nil {
		return nil, err
	}

	// A panic in here would be one of bbolt's over a damaged file: guarded makes it an error.
	c.log = &spaciousLog{guardedLog: store, space: room, done: make(chan struct{})}
	err = guarded(func() (err error) {
		c.raft, err = raft.NewRaft(raftConfig(cfg, logger), f, c.log, c.log, snaps, c.transport)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot start Raft: %w", err)
	}
	c.started.Store(c.raft)
	store.running.Store(true)
	return c, nil
}

// listen opens the transport: TCP among peers, one in memory for a coordinator that is alone. It
// returns the address by which the others know this coordinator.
func (c *consensus) listen(cfg Config, logger hclog.Logger) (raft.ServerAddress, error) {
	if cfg.alone() {
		addr, t := raft.NewInmemTransport(raft.ServerAddress(cfg.ID))
		c.transport = t
		return addr, nil
	}

	own := cfg.peer()
	advertise, err := net.ResolveTCPAddr("tcp", own.Raft)
	if err != nil {
		return "", fmt.Errorf("cannot resolve raft address %s: %w", own.Raft, err)
	}
	t, err := c.openTransport(cfg, advertise, logger)
	if err != nil {
		return "", fmt.Errorf("cannot listen for Raft on %s: %w", cfg.Raft.Listen, err)
	}
	c.transport = &watched{NetworkTransport: t, own: raft.ServerID(cfg.ID),
		contacts: map[raft.ServerID]contact{}}
	return raft.ServerAddress(own.Raft), nil
}

// peer is this coordinator among the peers; zero if it is alone.
func (c *Config) peer() (own Peer) {
	for _, p := range c.Raft.Peers {
		if p.ID == c.ID {
			own = p
		}
	}
	return own
}

// openTransport listens for other coordinators, over mutual TLS if this one has a certificate.
// Without one everybody who reaches the port can replace the whole state; see SECURITY.md.
func (c *consensus) openTransport(cfg Config, advertise net.Addr, logger hclog.Logger,
) (*raft.NetworkTransport, error) {
	if cfg.Identity == nil {
		return raft.NewTCPTransportWithLogger(cfg.Raft.Listen, advertise, raftPool, raftIO, logger)
	}
	layer, err := listenTLS(cfg.Raft.Listen, advertise, cfg.Identity, c.idAt(cfg.Raft.Peers))
	if err != nil {
		return nil, err
	}
	return raft.NewNetworkTransportWithLogger(layer, raftPool, raftIO, logger), nil
}

// bootstrap writes the first configuration into an empty log: the members and their addresses. It
// refuses the log of another cluster. A coordinator that joins a cluster writes none, since the
// leader will send it.
func (c *consensus) bootstrap(cfg Config, own raft.ServerAddress, snaps raft.SnapshotStore) error {
	used, err := raft.HasExistingState(c.store, c.store, snaps)
	if err != nil {
		return fmt.Errorf("cannot read Raft's log: %w", err)
	}
	rc := raftConfig(cfg, hclog.NewNullLogger())

	// A log that has been used knows its members. They must be those of the settings, so that a
	// directory is not used for another cluster by mistake.
	if used {
		// A throw-away machine: the configuration is all that is wanted of the log.
		_, t := raft.NewInmemTransport(own)
		defer t.Close()
		f := &throwaway{machine: core.NewMachine()}
		have, err := raft.GetConfiguration(rc, f, c.store, c.store, snaps, t)
		if err != nil {
			return fmt.Errorf("cannot read Raft's log: %w", err)
		}
		return cfg.matches(have)
	}
	if cfg.Raft.Join {
		return nil
	}

	// All peers write the same configuration, so it does not matter which of them is elected.
	first := raft.Configuration{}
	if cfg.alone() {
		first.Servers = []raft.Server{{ID: raft.ServerID(cfg.ID), Address: own}}
	} else {
		for _, p := range cfg.Raft.Peers {
			first.Servers = append(first.Servers,
				raft.Server{ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Raft)})
		}
	}

	if err := raft.BootstrapCluster(rc, c.store, c.store, snaps, c.transport, first); err != nil {
		return fmt.Errorf("cannot write the first configuration: %w", err)
	}
	return nil
}

// matches reports whether a stored configuration can be that of this coordinator. One that was
// recovered may be the only member, and know the addresses of others to be added.
func (c *Config) matches(have raft.Configuration) error {
	for _, s := range have.Servers {
		if s.ID != raft.ServerID(c.ID) {
			continue
		}
		if single := len(have.Servers) == 1; single == c.alone() || single &&
			string(s.Address) == c.peer().Raft {
			return nil
		}
	}
	return fmt.Errorf("data directory %s belongs to a cluster of %d coordinators, %v; this one is %s "+
		"of %d", c.Data, len(have.Servers), have.Servers, c.ID, max(len(c.Raft.Peers), 1))
}

// raftConfig is Raft's own configuration. A leader that cannot reach a majority gives up within
// half an election timeout, before another one can be elected.
func raftConfig(cfg Config, logger hclog.Logger) *raft.Config {
	rc := raft.DefaultConfig()
	rc.LocalID, rc.Logger = raft.ServerID(cfg.ID), logger
	t := cfg.Timing.Election
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout = t, t, t/2
	rc.CommitTimeout = t / 10
	rc.TrailingLogs, rc.SnapshotThreshold = trailingMax, snapshotAfter
	return rc
}

// raftLog hands Raft's warnings and errors to l, one line each. Raft logs with hclog, which has to
// be parsed again: it has no interface to slog.
func raftLog(l *slog.Logger) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "raft", Level: hclog.Warn, DisableTime: true,
		Output: lines{l}})
}

// lines is a writer that logs each line that hclog writes to it.
type lines struct{ log *slog.Logger }

// Write implements io.Writer. p is one line, which begins with its level in brackets.
func (w lines) Write(p []byte) (int, error) {
	level, text := slog.LevelWarn, string(bytes.TrimSpace(p))
	switch {
	case strings.HasPrefix(text, "[ERROR]"):
		level = slog.LevelError
	case strings.Contains(text, "heartbeat timeout reached") &&
		strings.HasSuffix(strings.Trim(text, `"`), "last-leader-id="):
		level = slog.LevelDebug // how every start begins: there was no leader yet
	}
	text = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(text, "[ERROR]"), "[WARN]"))
	w.log.Log(context.Background(), level, text)
	return len(p), nil
}

// do commits an entry and returns what applying it gave. Off the leader, or when leadership is lost
// meanwhile, the error wraps ErrNotLeader. It must not be called in the loop, which applies the
// entry.
func (c *consensus) do(entry []byte) outcome {
	f := c.raft.Apply(entry, c.apply)
	err := c.await(f)
	switch {
	case err == nil:
		return f.Response().(outcome)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost),
		errors.Is(err, raft.ErrRaftShutdown):
		return outcome{err: fmt.Errorf("cannot commit: %w: %w", ErrNotLeader, err)}
	}
	return outcome{err: fmt.Errorf("cannot commit: %w", err)}
}

// await returns Raft's answer. Once Raft has stopped there is none to entries that it was about to
// apply, nor to questions that it had not looked at.
func (c *consensus) await(f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-c.down:
		return raft.ErrRaftShutdown
	}
}

// verify asks a majority whether this one still leads; the error is Raft's. Raft never answers a
// call that is pending when it stops, so close waits for pending calls first. Where Raft stops by
// itself, nothing that is pending may keep close waiting.
func (c *consensus) verify() error {
	c.asking.RLock()
	defer c.asking.RUnlock()
	if c.closed || c.stopped() {
		return raft.ErrRaftShutdown
	}
	return c.await(c.raft.VerifyLeader())
}

// stopped reports whether Raft has stopped. It might take another question then, without an answer.
func (c *consensus) stopped() bool {
	select {
	case <-c.down:
		return true
	default:
		return false
	}
}

// leadsIn asks a majority whether this one leads in a term. One that was elected again since does
// not: another leader may have committed meanwhile what is not known here yet.
func (c *consensus) leadsIn(term uint64) bool {
	return c.verify() == nil && c.raft.CurrentTerm() == term
}

// close stops Raft, if it runs, then what it stands on.
func (c *consensus) close() error {
	c.asking.Lock()
	c.closed = true
	c.asking.Unlock()

	var errs []error
	if c.raft != nil {
		c.stop()
	}
	if t, ok := c.transport.(raft.WithClose); ok {
		errs = append(errs, t.Close())
	}
	if t, ok := c.transport.(*watched); ok {
		t.CloseStreams() // Close leaves pooled connections open
	}
	return errors.Join(append(errs, c.store.Close())...)
}

// stop stops Raft and waits for its goroutines, one of which may itself wait for room on the disk.
func (c *consensus) stop() {
	c.stopping.Do(func() {
		close(c.log.done)
		c.raft.Shutdown().Error() //nolint:errcheck // there is none
		close(c.down)
	})
}
