package coord

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/disk"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/price"
)

// Config says how a coordinator runs. Zero fields take defaults.
type Config struct {
	ID      string // of this coordinator; default "c1"
	Data    string // directory of Raft's log and JetStream's files; required
	HTTP    string // own URL of the HTTP API, for clients that ask a follower
	Version string // of the program, for Status
	Raft    RaftConfig
	NATS    NATSConfig
	// Identity is this coordinator's certificate: with it all its ports speak TLS, and it believes
	// only those that have one of the same cluster. nil: the cluster is open.
	Identity *pki.Identity
	// CertLife is how long certificates are valid that this coordinator signs; default 24 h.
	CertLife time.Duration
	Limits   Limits
	Timing   Timing
	Audit    AuditConfig
	// CheckpointEvery is how many denoising steps lie between checkpoints, PreviewEvery how many lie
	// between previews, which come with checkpoints. nil: 1; 0: there are none.
	CheckpointEvery *int
	PreviewEvery    *int
	// Pricing is what clips cost; nil: nothing.
	Pricing *price.Sheet
	Log     *slog.Logger // default: discarded
	// Commands is the newest version of commands that it reads; default core.CommandVersion. Less, in
	// tests of upgrades, makes this a coordinator of an earlier program, as far as Raft's log goes.
	Commands int
	// Admin is the first key of the cluster, from pki init; a zero one: there is none.
	Admin access.Key
	// Now gives the time of day, for what is written down. It may be set forward and back.
	Now func() time.Time // default: time.Now
	// Clock measures what passes between two readings, whatever is done to the time of day.
	Clock func() time.Time // default: Now

	leaseLeast time.Duration // of an input that a new leader comes to; default 10 min

	room     func(dir string) (disk.Room, error) // default: disk.Of
	logBytes int64                               // default: logBytesMax
}

// RaftConfig says with whom decisions are replicated.
type RaftConfig struct {
	Listen string // host:port for other coordinators; needs Peers
	Peers  []Peer // all coordinators, this one included; empty: alone
	// Join makes this one wait until a cluster that exists adds it, instead of founding one.
	Join bool
}

type (
	// Peer is one coordinator of the cluster.
	Peer = core.Peer
	// Limits bound what the coordinator holds.
	Limits = core.Limits
	// Timing are the intervals of the control plane.
	Timing = core.Timing
)

// NATSConfig says where the embedded NATS server listens.
type NATSConfig struct {
	Listen string   // host:port for shards, port 0: any; empty: in-process clients only
	Routes string   // host:port for the NATS servers of the other coordinators; needs Peers
	Peers  []string // their nats-route://host:port
	// Private keeps shards from being told of the other coordinators' servers: they use those that
	// they list, which may be proxies.
	Private bool
}

// ConfigError says what is wrong in a Config: nothing was started.
type ConfigError struct{ Err error }

// Error implements error.
func (e *ConfigError) Error() string { return "cannot start coordinator: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// BadInput reports that what was asked for is wrong, not what was tried.
func (e *ConfigError) BadInput() bool { return true }

// fill sets defaults.
func (c *Config) fill() {
	c.CertLife = cmp.Or(c.CertLife, pki.LeafLife)
	c.ID, c.logBytes = cmp.Or(c.ID, "c1"), cmp.Or(c.logBytes, logBytesMax)
	if c.CheckpointEvery == nil {
		c.CheckpointEvery = new(1)
	}
	if c.PreviewEvery == nil {
		c.PreviewEvery = new(1)
	}

	// What the core decides by has defaults of its own, which count here, too.
	d := core.Config{Limits: c.Limits, Timing: c.Timing, Log: c.Log, Now: c.Now, Clock: c.Clock,
		Commands: c.Commands}
	d.SetDefaults(c.alone())
	c.Limits, c.Timing, c.Log, c.Now, c.Clock = d.Limits, d.Timing, d.Log, d.Now, d.Clock
	c.Commands = d.Commands
}

// core is the part of the configuration by which the core decides.
func (c *Config) core() core.Config {
	return core.Config{ID: c.ID, Version: c.Version, Limits: c.Limits, Timing: c.Timing,
		Locked:          c.Identity != nil,
		CheckpointEvery: *c.CheckpointEvery, PreviewEvery: *c.PreviewEvery, LeaseLeast: c.leaseLeast,
		Commands: c.Commands, Admin: c.Admin, Prompts: c.Audit.Prompts,
		Pricing: c.Pricing,
		Log:     c.Log, Now: c.Now, Clock: c.Clock}
}

// alone reports whether this is the only coordinator. It then needs no TCP for Raft, no NATS routes
// and no election worth the name.
func (c *Config) alone() bool { return len(c.Raft.Peers) <= 1 }

// check returns the first thing that is wrong.
func (c *Config) check() error {
	if err := job.CheckName("id", c.ID); err != nil {
		return err
	}
	if c.Data == "" {
		return errors.New("the data directory is not set")
	}

	for what, addr := range map[string]string{"raft address": c.Raft.Listen,
		"NATS address": c.NATS.Listen, "NATS route address": c.NATS.Routes} {
		if _, _, err := net.SplitHostPort(addr); addr != "" && err != nil {
			return fmt.Errorf("%s %q is not host:port", what, addr)
		}
	}

	if l := c.Limits; l.Queued < 0 || l.Kept < 1 || l.Nodes < 1 {
		return fmt.Errorf("limits %+v; allowed: from 1", l)
	}
	if *c.CheckpointEvery < 0 || *c.PreviewEvery < 0 {
		return fmt.Errorf("checkpoints every %d steps and previews every %d; allowed: from 0",
			*c.CheckpointEvery, *c.PreviewEvery)
	}
	if l := c.Limits; min(l.Disk, l.Reserve, l.KeepBytes, int64(l.KeepFor)) < 0 {
		return fmt.Errorf("limits %+v; allowed: from 0", l)
	}
	if t := c.Timing; min(t.Heartbeat, t.Tick, t.Order, t.Grace, t.Apply) <= 0 ||
		t.LostAfter <= t.Heartbeat || t.Election < 20*time.Millisecond {
		return fmt.Errorf("timing %+v; allowed: all above 0, lost after more than a heartbeat, "+
			"election from 20ms", t)
	}
	return cmp.Or(c.checkIdentity(), c.checkPeers())
}

func (c *Config) checkPeers() error {
	if c.alone() {
		if c.Raft.Listen != "" || c.NATS.Routes != "" || c.Raft.Join {
			return errors.New("raft and NATS route addresses need peers")
		}
		return nil
	}

	if c.Raft.Listen == "" || c.NATS.Routes == "" || len(c.NATS.Peers) == 0 {
		return errors.New("peers need a raft address, a NATS route address and NATS peers")
	}

	seen := map[string]bool{}
	for _, p := range c.Raft.Peers {
		if job.CheckName("id", p.ID) != nil || seen[p.ID] {
			return fmt.Errorf("peer id %q is used twice or is not a name", p.ID)
		}
		if _, _, err := net.SplitHostPort(p.Raft); err != nil {
			return fmt.Errorf("peer %s: raft address %q is not host:port", p.ID, p.Raft)
		}
		seen[p.ID] = true
	}
	if !slices.ContainsFunc(c.Raft.Peers, func(p Peer) bool { return p.ID == c.ID }) {
		return fmt.Errorf("the peers do not include this coordinator, %s", c.ID)
	}
	return nil
}
