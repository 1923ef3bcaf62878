package core

import (
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Versions of commands while a cluster is upgraded, one coordinator after the other: the leader
// writes what all of them read. Once it knows that all of them read a newer version, it commits
// that fact, and from there on the cluster is of that version.
const (
	// VersionFirst is what a cluster is of until its members are known to read more: the oldest one
	// with which this may be mixed. Coordinators that do not say what they read, read
	// that.
	VersionFirst = 8
	// ownersSince is the version from which on jobs have owners, and commands say who asked.
	ownersSince = 9
	// latentsSince is the version from which on clips may begin with a given latent. Those before
	// would not take such a job.
	latentsSince = 10
)

// CommandVersion is the newest version of commands that this program reads.
const CommandVersion = commandVersion

// since is from which version on a kind of command is known; those that are not here always were.
var since = map[kind]int{kindVersion: 9, kindAccess: 9, kindAuditBegin: 9, kindAudit: 9,
	kindSettle: usageSince, kindRollout: 9, kindAuthority: 9}

// Version returns the version of the commands that all coordinators read. What came after it is not
// used yet.
func (m *Machine) Version() int { return max(VersionFirst, m.state.version) }

// raise notes that all coordinators read a version.
func (s *state) raise(version int) error {
	if version <= VersionFirst || version > commandVersion {
		return fmt.Errorf("cannot apply a %s command of %d; allowed: %d to %d", kindVersion, version,
			VersionFirst+1, commandVersion)
	}
	s.version = max(s.version, version)
	return nil
}

// known returns the version from which on a command is known, with all that it has.
func (c command) known() int {
	if c.Create != nil {
		if _, ok := c.Create.Spec.Input(job.RoleLatent); ok {
			return latentsSince
		}
	}
	return since[c.Kind]
}

// spoken returns ErrUpgrading if not all coordinators know a command.
func (c *Core) spoken(cmd command) error {
	if cmd.known() <= cmd.Version {
		return nil
	}
	_, missing := c.world.Speaks()
	if missing == "" {
		missing = "it takes a moment"
	}
	return fmt.Errorf("%w, and not all of them know this yet: %s", ErrUpgrading, missing)
}

// raiseVersion commits the version that all coordinators read, if it is newer than the cluster's.
// A failure is tried again with the next tick.
func (l *leader) raiseVersion() {
	if l.c.machine.Version() >= l.c.cfg.Commands {
		return
	}
	version, missing := l.c.world.Speaks()
	version = min(version, l.c.cfg.Commands)
	if version <= l.c.machine.Version() {
		l.tellMissing(missing)
		return
	}

	_, err := l.c.commit(command{Version: version, Kind: kindVersion, Speaks: version})
	if err != nil {
		l.c.log.Warn("cannot note the coordinators' version", "version", version, "error", err)
		return
	}
	l.c.log.Info("all coordinators read this version of commands", "version", version)
}

// missingEvery is the time between two lines of the log on the same obstacle.
const missingEvery = time.Minute

// tellMissing logs what keeps the cluster at its version.
func (l *leader) tellMissing(missing string) {
	now := l.c.cfg.Clock()
	if missing == l.missing && now.Sub(l.missingTold) < missingEvery {
		return
	}
	l.missing, l.missingTold = missing, now
	l.c.log.Info("the coordinators use an older version of commands for now", "version",
		l.c.machine.Version(), "missing", missing)
}
