package core

import (
	"log/slog"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Core is one coordinator's replicated machine and, while it leads, the leader's memory and
// decisions. See the package comment for who may call what.
type Core struct {
	cfg      Config
	log      *slog.Logger
	world    World
	observer Observer
	machine  *Machine
	lead     *leader // nil: this coordinator does not lead

	// otherSheet is the latest price sheet of another coordinator that differs from this one's.
	otherSheet string
	// unsettled is set by everything that may change what the scheduler decides; Settle clears it.
	unsettled bool
	// by is the client whose request is being handled; nil: none is.
	by *Actor
	// damage says which objects were found damaged or gone. Clients find that out on any
	// coordinator, so it outlives terms.
	damage damage
	// uses is when keys were last used here, by id.
	uses map[string]time.Time
	// deleting is set while the World deletes objects, which goes on when the term ends meanwhile.
	// afterDelete are the calls that wait for its end.
	deleting    bool
	afterDelete []func()
}

// New returns a core with an empty machine that does not lead. Zero fields of cfg take defaults.
func New(cfg Config, w World, o Observer) *Core {
	cfg.SetDefaults(false)
	c := &Core{cfg: cfg, log: cfg.Log, world: w, observer: o, damage: damage{},
		uses: map[string]time.Time{}}
	c.Restore(NewMachine())
	return c
}

// Apply applies a committed entry, in the order of the log, and returns what it made of its job.
// The error is either the command's own, which is the same on every coordinator and changes
// nothing, or that of [Core.Err].
func (c *Core) Apply(index uint64, entry []byte) (job.Record, error) {
	r, err := c.machine.Apply(index, entry)
	if err == nil {
		c.unsettled = true
		if r.ID != "" {
			c.observer.JobChanged(r.ID)
		}
		c.compareSheets(r)
	}
	return r, err
}

// Err returns why the machine takes no more entries: one could not be read, so it does not know
// what the others have decided. It is nil while all is well. A core with an error must not lead.
func (c *Core) Err() error { return c.machine.stopped }

// Snapshot returns a copy of the machine, as it is written. Equal machines give equal bytes.
func (c *Core) Snapshot() (*Snapshot, error) { return c.machine.Snapshot() }

// Restore replaces the machine by one that ReadSnapshot returned.
func (c *Core) Restore(m *Machine) {
	m.most = c.cfg.Commands
	c.machine, c.unsettled = m, true
}

// Machine returns the replicated machine, to read.
func (c *Core) Machine() *Machine { return c.machine }

// Lead makes the core the leader. All entries that were committed before must have been applied: in
// Raft's terms, a barrier of this term has passed.
func (c *Core) Lead() {
	c.lead = newLeader(c)
	c.unsettled = true
	c.lead.raiseVersion()
	c.lead.beginAudit()
}

// Resign ends the term, if the core leads, and forgets all that is not replicated.
func (c *Core) Resign() { c.lead = nil }

// Leads reports whether the core leads.
func (c *Core) Leads() bool { return c.lead != nil }

// Tick does the leader's periodic work; on a follower it does nothing. All that nodes said
// before heard (by the clock of the Config) must have been handled: nodes are judged by how long
// they had been silent then, so that none is lost because the leader was slow to listen.
func (c *Core) Tick(heard time.Time) {
	if c.lead != nil {
		c.lead.tick(heard)
	}
}

// Unsettled reports whether Settle has something to do.
func (c *Core) Unsettled() bool { return c.unsettled && c.lead != nil }

// Settle lets the scheduler look at the queue, if something has happened since the last time that
// may change what it decides. Its own decisions may, so it looks again, up to settleMax times.
func (c *Core) Settle() {
	for range settleMax {
		if !c.Unsettled() {
			return
		}
		c.unsettled = false
		c.lead.schedule()
	}
}

// settleMax bounds how often Settle looks at the queue: one that never settles goes on with the
// next tick.
const settleMax = 16

// leader returns the leader's memory, or ErrNotLeader.
func (c *Core) leader() (*leader, error) {
	if c.lead == nil {
		return nil, ErrNotLeader
	}
	return c.lead, nil
}

// wake has the scheduler look at the queue soon.
func (c *Core) wake() { c.unsettled = true }

// As calls f, whose commands are those of a client's request.
func (c *Core) As(by Actor, f func()) {
	before := c.by
	c.by = &by
	defer func() { c.by = before }()
	f()
}

// entry gives a command the time of day, the client that asked for it and the version that all
// coordinators read, and encodes it for the log. The error is ErrUpgrading where some of them do
// not know the command yet.
func (c *Core) entry(cmd command) ([]byte, error) {
	cmd.Now = c.cfg.Now().UTC().Round(0)
	if cmd.Version == 0 {
		cmd.Version = c.machine.Version()
	}
	if err := c.spoken(cmd); err != nil {
		return nil, err
	}
	if cmd.Version >= ownersSince {
		cmd.By = c.by
	}
	return cmd.encode()
}

// commit has the World commit and apply a command. The error is the command's own, or one that
// wraps ErrNotLeader.
func (c *Core) commit(cmd command) (job.Record, error) {
	if c.lead != nil && c.machine.Version() >= ownersSince {
		cmd.Took = c.lead.tookOf(cmd)
	}
	entry, err := c.entry(cmd)
	if err != nil {
		return job.Record{}, err
	}
	return c.world.Append(entry)
}

// onceDeleted runs f now, or as soon as the deletion of objects that is under way has ended. What
// gives an object to a job goes through here, so that no object is deleted that a job refers to.
func (c *Core) onceDeleted(f func()) {
	if !c.deleting {
		f()
		return
	}
	if c.by != nil {
		by, g := *c.by, f
		f = func() { c.As(by, g) }
	}
	c.afterDelete = append(c.afterDelete, f)
}
