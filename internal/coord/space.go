package coord

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/disk"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/wire"
)

const (
	spaceEvery  = 100 * time.Millisecond // between looks at the disk
	spaceTell   = time.Second            // between reports to the leader; likewise of the store
	spaceTrust  = 10 * time.Second       // for which another coordinator's report holds
	tellTime    = 300 * time.Millisecond // for the leader to take what was refused
	spaceRevive = 2 * time.Second        // between restarts of NATS

	reserveMin, reserveMax = 16 << 20, 256 << 20 // bytes; of small disks it is at most half

	// startRoom is what NATS may need to start: it rewrites a file of 4 MiB of which half is
	// deleted, and panics if it cannot. The file that is removed on a full disk has more.
	startRoom, ballastMin = 3 << 20, 4 << 20
)

// space watches how much room a coordinator has for what it stores. As its disk fills up it says so
// to the leader, in two stages: first no more jobs and checkpoints are taken, while clips that are
// done may still be stored, since their checkpoints are deleted then; in the second stage nothing
// is. What is left, and a file that is removed when even that is gone, is for Raft's log and for
// deletions, without which no room could be made. All methods may be called from any goroutine.
type space struct {
	cfg     Config
	reserve int64         // bytes that stay free
	ballast *disk.Ballast // the file that is removed on a full disk
	room    func(string) (disk.Room, error)

	mu     sync.Mutex      // of what follows
	own    ownSpace        // this coordinator's disk
	others map[string]told // on the leader: what the other coordinators have reported
}

// ownSpace is what is known of this coordinator's disk, and how full that makes it.
type ownSpace struct {
	Space
	stage core.Stage
}

// told is another coordinator's report.
type told struct {
	disk wire.Disk
	at   time.Time
}

// newSpace looks at the disk for the first time. If there is nothing left it gives the reserve away
// at once, so that a coordinator starts on a full disk. A disk that cannot be measured counts as
// empty: it is no reason not to start.
func newSpace(cfg Config) *space {
	s := &space{cfg: cfg, reserve: cfg.Limits.Reserve, room: cfg.room, others: map[string]told{}}
	if s.room == nil {
		s.room = disk.Of
	}
	r, err := s.room(cfg.Data)
	if err != nil {
		cfg.Log.Warn("cannot see how full the disk is", "error", err)
		r = disk.Room{Free: math.MaxInt64 / 2, Total: math.MaxInt64 / 2}
	}

	// By default a twentieth of the disk is kept back, within bounds.
	if s.reserve == 0 {
		s.reserve = min(max(r.Total/20, reserveMin), reserveMax, r.Total/2)
	}

	// A quarter of that is the file, which is really taken from the disk; the rest is only not used.
	s.ballast = disk.NewBallast(filepath.Join(cfg.Data, "reserve"),
		max(s.reserve/4, min(ballastMin, s.reserve/2)))
	s.own.Quota, s.own.Reserve = cfg.Limits.Disk, s.reserve
	s.look()
	return s
}

// look measures the disk, and gives the reserve away or takes it back. What the reserve holds
// counts as free, since it can be had.
func (s *space) look() {
	r, err := s.room(s.cfg.Data)
	if err != nil {
		return // as it was
	}

	held := s.ballast.Size()
	switch {
	case held > 0 && r.Free < held/2:
		if s.ballast.Release() {
			s.cfg.Log.Warn("the disk is full; the reserve is given away", "bytes", held)
		}
	case held == 0 && r.Free > s.reserve:
		if err := s.ballast.Hold(); err != nil {
			s.cfg.Log.Warn("cannot keep room back", "error", err)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.own.Free, s.own.Total = r.Free+held, r.Total
	s.judge()
}

// judge says how full it is; the caller holds the lock. A stage is left only when there is somewhat
// more room than it began with.
func (s *space) judge() {
	o := &s.own
	before := o.stage
	low := func(have, least int64, st core.Stage) bool {
		if before >= st {
			least += least / 8
		}
		return have < least
	}

	// The disk.
	o.stage, o.Full = core.Roomy, ""
	if low(o.Free, s.reserve, core.Full) {
		o.stage = core.Full
		o.Full = fmt.Sprintf("the disk of coordinator %s is full: %s of %s are free, %s are kept back "+
			"(limits.disk-reserve); delete jobs, or make room on it", s.cfg.ID, plan.Bytes(o.Free),
			plan.Bytes(o.Total), plan.Bytes(s.reserve))
		if low(o.Free, s.reserve/2, core.Stuck) {
			o.stage = core.Stuck
		}
	}

	// The quota of the object store, if there is one.
	if q := o.Quota; q > 0 && o.stage < core.Stuck && low(q-o.Objects, q/20, core.Full) {
		o.Full = fmt.Sprintf("the object store is full: it holds %s of %s (limits.disk); delete jobs, "+
			"or allow more", plan.Bytes(o.Objects), plan.Bytes(q))
		o.stage = max(o.stage, core.Full)
		if o.Objects >= q {
			o.stage = core.Stuck
		}
	}

	// Changes are logged, not states: this runs ten times a second.
	if o.stage == before {
		return
	}
	if o.stage == core.Roomy {
		s.cfg.Log.Info("there is room again", "free", o.Free, "objects", o.Objects)
		return
	}
	s.cfg.Log.Error(o.Full, "stage", o.stage)
}

// disksKept bounds the coordinators whose report is remembered.
const disksKept = 64

// hear keeps a report of another coordinator. There are more reports than members only if somebody
// else sends them; those beyond disksKept are dropped.
func (s *space) hear(d wire.Disk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.ID != s.cfg.ID && len(s.others) < disksKept {
		s.others[d.ID] = told{d, time.Now()}
	}
}

// state returns how full the fullest of the disks is that are known here, and why.
func (s *space) state() (core.Stage, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	worst, why := s.own.stage, s.own.Full
	for id, t := range s.others {
		if time.Since(t.at) > spaceTrust {
			delete(s.others, id)
			continue
		}
		if st := core.Stage(t.disk.Stage); st > worst {
			worst, why = st, t.disk.Reason
		}
	}
	return worst, why
}

// disk returns what the core decides by: how full the fullest disk is, and what the object store
// may hold here, in all and at present.
func (s *space) disk() core.Disk {
	var d core.Disk
	d.Stage, d.Why = s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	d.Known, d.Held = true, s.own.Objects
	d.Most, d.Now = s.own.Total-s.reserve, d.Held+s.own.Free-s.reserve
	if q := s.own.Quota; q > 0 {
		d.Most, d.Now = min(d.Most, q), min(d.Now, q)
	}
	return d
}

// forNodes returns how many bytes nodes may still store here: what the last stage leaves, since
// clips that are done are stored in the one before.
func (s *space) forNodes() int64 {
	if st, _ := s.state(); st >= core.Stuck {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	room := s.own.Free - s.reserve/2
	if q := s.own.Quota; q > 0 {
		room = min(room, q-s.own.Objects)
	}
	return max(0, room)
}

// most returns how many bytes the disk can hold beside its reserve.
func (s *space) most() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, s.own.Total-s.reserve)
}

// seen returns what is known of this coordinator's disk; on the leader, with why the fullest one is
// full.
func (s *space) seen() Space {
	_, why := s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.own.Space
	out.Full = why
	return out
}

// spend runs f, which writes to the disk, and once more after giving the reserve away if the disk
// was full. It is for writes without which the coordinator would have to stop: Raft's log.
func (s *space) spend(f func() error) error {
	err := f()
	if disk.IsFull(err) && s.ballast.Release() {
		s.cfg.Log.Warn("the disk is full; the reserve is given away", "error", err)
		err = f()
	}
	return err
}

// watchSpace looks at the disk until ctx ends. It also tells the leader of it, shortens Raft's log
// when room is short, and restarts NATS after a full disk.
func (c *Coordinator) watchSpace(ctx context.Context) {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	var next, revived time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.space.look()
			if now.After(next) {
				next = now.Add(spaceTell)
				c.measure(ctx)
				c.tellSpace()
				c.shortenLog()
			}

			if c.broker.hurt.Load() && now.Sub(revived) > spaceRevive && c.space.startable() {
				revived = now
				c.revive()
			}
		}
	}
}

// shortenLog bounds what Raft's log takes on the disk. It writes a snapshot, which needs room
// itself.
func (c *Coordinator) shortenLog() {
	if c.roomForMore() != nil {
		return
	}
	err := c.cons.shorten(c.cfg.logBytes)
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		c.log.Warn("cannot shorten Raft's log", "error", err)
	}
}

// startable reports whether there is room enough for NATS to start.
func (s *space) startable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own.Free >= min(startRoom, s.reserve/2)
}

// await waits until there is room enough for NATS to start.
func (s *space) await(ctx context.Context) error {
	for told := false; !s.startable(); s.look() {
		if !told {
			told = true
			s.cfg.Log.Error("the coordinator waits for room on its disk to start", "needs", startRoom)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", ErrNoSpace, s.seen().Full)
		case <-time.After(spaceEvery):
		}
	}
	return nil
}

// revive restarts NATS after the disk was full: its JetStream does not write again by itself.
func (c *Coordinator) revive() {
	if err := c.broker.restart(); err != nil {
		c.log.Error("the object store is away", "error", err)
		return
	}
	c.log.Info("NATS was restarted, since it could not write while the disk was full")
}

// measure asks the object store how many bytes it holds. A store that does not answer in time
// leaves the last figure in force.
func (c *Coordinator) measure(ctx context.Context) {
	s := c.objects.Load()
	if s == nil {
		return
	}
	sizer, ok := (*s).(artifact.Sizer)
	if !ok {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, spaceTell)
	defer cancel()
	n, err := sizer.Size(ctx)
	if err != nil {
		return // it is away, which others notice
	}
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	c.space.own.Objects = n
	c.space.judge()
}

// tellSpace tells the leader how full this disk is, without waiting for an answer: the next report
// follows in a second.
func (c *Coordinator) tellSpace() {
	if c.cfg.alone() || c.cons.raft.State() == raft.Leader {
		return
	}
	c.space.mu.Lock()
	d := wire.Disk{ID: c.cfg.ID, Stage: int(c.space.own.stage), Reason: c.space.own.Full}
	if d.Commands = c.cfg.Commands; d.Commands > core.VersionFirst {
		d.Version = c.cfg.Version
	}
	c.space.mu.Unlock()

	// What was refused must arrive, so the leader answers; how full a disk is comes again anyhow.
	refused := c.audit.take()
	var err error
	if d.Refused = toldRefused(refused); d.Refused == nil {
		err = c.broker.conn.Publish(wire.SubjectDisk, wire.Encode(d))
	} else if _, err = c.broker.conn.Request(wire.SubjectDisk, wire.Encode(d), tellTime); err != nil {
		c.audit.giveBack(refused)
	}
	if err != nil {
		c.log.Debug("cannot tell the leader of the disk", "error", err)
	}
}

// roomForMore returns an error that wraps ErrNoSpace if no more jobs are taken, with the reason.
func (c *Coordinator) roomForMore() error {
	if st, why := c.space.state(); st > core.Roomy {
		return fmt.Errorf("%w: %s", ErrNoSpace, why)
	}
	return nil
}
