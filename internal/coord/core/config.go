package core

import (
	"log/slog"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/price"
)

// Config says how a core decides. Zero fields take defaults, unless they say what 0 means.
type Config struct {
	ID      string // of this coordinator
	Version string // of the program; nodes of another one are logged
	Locked  bool   // all processes have certificates: what ranks send each other is sealed
	Limits  Limits
	Timing  Timing
	// Commands is the newest version of commands that it reads; 0: CommandVersion. Less makes it a
	// coordinator of an earlier program, for tests of upgrades.
	Commands int
	// Admin is the first key, which the first leader takes in; a zero one: there is none.
	Admin access.Key
	// Prompts says how the audit log has prompts: PromptsHash, PromptsKeep or PromptsOmit. Default:
	// the first.
	Prompts string
	// Pricing is what clips cost; nil: nothing is charged.
	Pricing *price.Sheet
	// CheckpointEvery and PreviewEvery are how many denoising steps lie between checkpoints and
	// between previews, which come with checkpoints; 0: there are none.
	CheckpointEvery int
	PreviewEvery    int
	// LeaseLeast is how long a new leader keeps an input at least that no job refers to, whatever the
	// time of day says; default 10 min.
	LeaseLeast time.Duration
	Log        *slog.Logger // default: discarded
	// Now gives the time of day, for what is written down. It may be set forward and back, and differs
	// between coordinators. Default: time.Now.
	Now func() time.Time
	// Clock measures what passes between two readings, whatever is done to the time of day. All
	// decisions go by it. Default: Now.
	Clock func() time.Time
	// Heard returns when a node's latest heartbeat has come that says nothing new, for simulations of
	// nodes whose heartbeats are too many to be handled one by one. It is called when a node
	// registers, and what it returns at every tick, before nodes are judged by their silence. A zero
	// time says that all of the node's heartbeats are handled; so does nil, of all nodes.
	Heard func(job.NodeID) func() time.Time
}

// Limits bound what a coordinator holds.
type Limits struct {
	Queued int // jobs that wait; default 1000
	Kept   int // jobs in all; the oldest final ones go first; default 10000
	Nodes  int // registered nodes; default 1024
	// Disk is what stored objects may take, in bytes; 0: what the disk has, but for the reserve.
	Disk int64
	// Reserve is how many bytes of the disk stay free: with less, no more is taken. Default 5 % of it,
	// from 16 MiB to 256 MiB.
	Reserve int64
	// KeepFor is how long a final job is kept; 0: as long as there are not more than Kept.
	KeepFor time.Duration
	// KeepBytes is what the objects of final jobs may take together: the oldest go first; 0: no limit.
	KeepBytes int64
	// RequestTime is how long a clip may be predicted to take before it is refused, unless the client
	// insists. nil: 24 h; 0: there is no limit.
	RequestTime *time.Duration
	// RequestTokens is how many tokens a clip may have; default job.ClipTokensLimit.
	RequestTokens int
}

// SetDefaults fills zero fields.
func (l *Limits) SetDefaults() {
	setDefault(&l.Queued, 1000)
	setDefault(&l.Kept, 10000)
	setDefault(&l.Nodes, 1024)
	setDefault(&l.RequestTokens, job.ClipTokensLimit)
}

// requestTime is how long a clip may be predicted to take; 0: there is no limit.
func (l *Limits) requestTime() time.Duration {
	if l.RequestTime == nil {
		return 24 * time.Hour
	}
	return *l.RequestTime
}

// Timing are the intervals of the control plane.
type Timing struct {
	Heartbeat time.Duration // asked of nodes; default 500 ms
	LostAfter time.Duration // silence after which a node is lost; default 3 s
	HungAfter time.Duration // the least time without progress after which a rank hangs; default 10 s
	HungFirst time.Duration // likewise, while its pace is not measured yet; default 10 min
	Yield     time.Duration // for a preempted job to come to a step boundary; default 1 min
	Grace     time.Duration // for nodes to come back after a change of leader; default LostAfter + 2 s
	Tick      time.Duration // of the leader's checks; default LostAfter / 12
	Order     time.Duration // for a node to acknowledge an order; default 5 s
	Election  time.Duration // Raft's timeout; default 50 ms alone, 500 ms with peers
	Apply     time.Duration // for a command to commit; default 10 s
}

// SetDefaults fills zero fields; alone says that there is one coordinator.
func (t *Timing) SetDefaults(alone bool) {
	setDefault(&t.Heartbeat, 500*time.Millisecond)
	setDefault(&t.LostAfter, 3*time.Second)
	setDefault(&t.HungAfter, 10*time.Second)
	setDefault(&t.HungFirst, 10*time.Minute)
	setDefault(&t.Yield, time.Minute)
	setDefault(&t.Grace, t.LostAfter+2*time.Second)
	setDefault(&t.Tick, max(t.LostAfter/12, time.Millisecond))
	setDefault(&t.Order, 5*time.Second)
	setDefault(&t.Apply, 10*time.Second)
	if alone {
		setDefault(&t.Election, 50*time.Millisecond)
	}
	setDefault(&t.Election, 500*time.Millisecond)
}

// SetDefaults fills zero fields; alone says that there is one coordinator.
func (c *Config) SetDefaults(alone bool) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Clock == nil {
		c.Clock = c.Now // of time.Now, Sub uses the monotonic reading
	}
	setDefault(&c.LeaseLeast, 10*time.Minute)
	setDefault(&c.Commands, commandVersion)
	setDefault(&c.Prompts, PromptsHash)
	c.Limits.SetDefaults()
	c.Timing.SetDefaults(alone)
}

// setDefault gives *p a value if it is zero.
func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
