package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// Accounts of device time are kept where machines change (changed), and so add up whatever jobs do;
// what of it was useful is kept where jobs change (moved), from the log alone. Their difference is
// what was lost. Neither asks the coordinators, whose own metering is checked by the ledger.

// day is what a Setup adds to a world: its plan, and accounts of what happens.
type day struct {
	w        *world
	s        *Setup
	settling bool // the leader is about to look at the queue

	clips     map[job.ID]*clip
	order     []*clip
	live      int         // jobs that are not final
	refused   map[int]int // requests, by class
	incidents map[Kind]int

	gauges [gaugesAll]*gauge
	useful gauge // ranks that did what was delivered
	load   load
	// log and decisions are hashes of what was committed: of all of it, and of who was placed where
	// and when.
	log, decisions hash.Hash
	crashed        snapshotAt // of the latest leader that has crashed
	commits        int
}

// snapshotAt is a member's state after so many entries, as Raft would write it to the disk.
type snapshotAt struct {
	applied int
	bytes   []byte
}

// Gauges, of which the series and device time are made.
const (
	gaugeBusy    = iota // devices with a rank
	gaugeIdle           // without one
	gaugeAway           // whose process does not run
	gaugeQueued         // jobs
	gaugeRunning        // jobs
	gaugesAll
)

// load is what the coordinators had to do.
type load struct {
	commands    map[string]int
	bytes       map[string]int64
	perStep     []int   // commands
	bytesStep   []int64 // of these
	second      int64   // the latest one with a command
	inSecond    int
	most        int // commands in a second
	snapshotMax int
}

func newDay(w *world, s *Setup) *day {
	d := &day{w: w, s: s, clips: map[job.ID]*clip{}, refused: map[int]int{},
		incidents: map[Kind]int{}, log: sha256.New(), decisions: sha256.New(),
		load: load{commands: map[string]int{}, bytes: map[string]int64{}}}

	s.Timing.SetDefaults(false)
	s.Limits.SetDefaults()
	s.Members = max(s.Members, 1)
	if s.Step <= 0 {
		s.Step = max(s.Length/288, time.Second)
	}

	for i := range d.gauges {
		d.gauges[i] = &gauge{step: s.Step}
	}
	d.useful.step = s.Step
	return d
}

// since is how long the day has lasted.
func (d *day) since() time.Duration { return d.w.now.Sub(d.w.start) }

// gauge adds up, for each step of a series, how much of a thing there was for how long. It is
// exact: nothing is sampled.
type gauge struct {
	step  time.Duration
	value int
	at    time.Duration
	sums  []float64 // value times seconds
}

// add changes the value from now on.
func (g *gauge) add(n int, now time.Duration) {
	g.until(now)
	g.value += n
}

// until adds up to now.
func (g *gauge) until(now time.Duration) {
	g.between(g.at, now, g.value)
	g.at = max(g.at, now)
}

// between adds a value that held from one time to another. It may have held for many steps, so each
// gets its part.
func (g *gauge) between(from, to time.Duration, value int) {
	for from < to {
		i := int(from / g.step)
		next := min(to, g.step*time.Duration(i+1))
		for len(g.sums) <= i {
			g.sums = append(g.sums, 0)
		}
		g.sums[i] += float64(value) * (next - from).Seconds()
		from = next
	}
}

// sum is the sum of all steps, in seconds.
func (g *gauge) sum() (all float64) {
	for _, v := range g.sums {
		all += v
	}
	return all
}

// created takes the answer to a request. One that finds the queue full is refused for good: clients
// who try again are requests of their own, and for the scenario to ask for.
func (d *day) created(class int, asked time.Time, r job.Record, err error, again func()) {
	var unknown *job.FieldError // the model, of which no node has registered yet
	switch {
	case errors.Is(err, core.ErrNotLeader), errors.Is(err, core.ErrNoModel),
		errors.As(err, &unknown) && unknown.Field == "model":
		again()
		return
	case errors.Is(err, core.ErrQueueFull):
		d.refused[class]++
	case err != nil:
		d.w.violated("create", "%v", err)

	default:
		c := d.clips[r.ID]
		c.Class, c.Created = class, asked.Sub(d.w.start)
		d.w.stats.Jobs++
	}
	d.w.clients.left--
}

// committed takes a decision into the accounts, right after the leader has applied it. Decisions
// are read from the log, as the checkers do it, and not asked of the core that has made them.
func (d *day) committed(m *member, e entry, data []byte, before, after job.Record, err error) {
	if d == nil {
		return
	}
	d.count(e, data)
	d.commits++
	if err == nil && e.Job != "" {
		d.moved(e, before, after)
	}
	if d.commits%knownEvery == 0 {
		d.known(m.core)
	}
	if len(m.r.log) >= logMost {
		d.compact(m)
	}
}

const (
	knownEvery = 1000   // commits between two looks at whether all live jobs are there
	logMost    = 20_000 // entries that are kept until a snapshot stands for them
)

// count notes how much was committed, of which kind, when, and adds it to the hash of the log, by
// which two runs are compared.
func (d *day) count(e entry, data []byte) {
	l := &d.load
	l.commands[e.Kind]++
	l.bytes[e.Kind] += int64(len(data))
	i := int(d.since() / d.s.Step)
	for len(l.perStep) <= i {
		l.perStep, l.bytesStep = append(l.perStep, 0), append(l.bytesStep, 0)
	}

	l.perStep[i]++
	l.bytesStep[i] += int64(len(data))
	if s := int64(d.since() / time.Second); s != l.second {
		l.second, l.inSecond = s, 0
	}
	l.inSecond++
	l.most = max(l.most, l.inSecond)

	size := binary.BigEndian.AppendUint64(nil, uint64(len(data)))
	d.log.Write(size)
	d.log.Write(data)
}

// moved follows a job from one state to another: how many there are of each, when it was placed,
// what became of it. Checkpoints and parts move nothing.
func (d *day) moved(e entry, before, after job.Record) {
	now := d.since()
	c := d.clips[e.Job]
	if before.ID == "" && after.ID != "" {
		c = &clip{d: d}
		d.clips[e.Job] = c
		d.order = append(d.order, c)
		d.live++
	}
	if c == nil || before.State == after.State {
		return
	}
	fmt.Fprintln(d.decisions, e.Kind, e.Job, e.Attempt, now, after.Attempt, after.State,
		after.Plan.Nodes, after.Plan.Resume.Step)

	if g, ok := gaugeOf(before.State); ok && before.ID != "" {
		d.gauges[g].add(-1, now)
	}
	if g, ok := gaugeOf(after.State); ok {
		d.gauges[g].add(1, now)
	}

	switch {
	case after.State == job.Running:
		c.placed(after, now)
	case after.State.Final():
		d.live--
		c.ended(after, now)
	}
}

// gaugeOf returns the gauge that counts jobs in a state; those that have ended are in none.
func gaugeOf(s job.State) (gauge int, ok bool) {
	if s == job.Queued {
		return gaugeQueued, true
	}
	return gaugeRunning, s == job.Running
}

// known wants every live job to be known to a leader. Short runs look for all jobs after each
// decision; here those that have ended may be forgotten, as only so many are kept.
func (d *day) known(k *core.Core) {
	for id, c := range d.clips {
		if _, ok := k.Machine().Record(id); c.State == "" && !ok {
			d.w.violated("vanished", "job %s is live, and is unknown", id)
			return
		}
	}
}

// compact has a snapshot of the leader stand for the log, as Raft does. Followers apply nothing
// until they are elected or the day ends; they then begin with the snapshot, as ones that were away
// for long do, and apply the rest. So the log stays short, and two more coordinators cost nothing.
func (d *day) compact(leader *member) {
	r := leader.r
	snap := leader.snapshot()
	d.load.snapshotMax = max(d.load.snapshotMax, len(snap))
	r.cut, r.log = r.length(), nil
	for _, m := range r.cores {
		m.snap, m.snapped = snap, r.cut
	}
}

// crash keeps the state of a leader that crashes, for who comes after it: see inherits.
func (d *day) crash(m *member) {
	if d != nil && m.core.Leads() {
		d.crashed = snapshotAt{m.applied, m.snapshot()}
	}
}

// inherits wants a new leader that has applied the whole log to have the state that the one before
// it had when it crashed, byte for byte: one came to it entry by entry as it decided, the other one
// from a snapshot and what followed.
func (d *day) inherits(m *member) {
	if d == nil || d.crashed.bytes == nil || d.crashed.applied != m.applied {
		return
	}
	if have := m.snapshot(); string(have) != string(d.crashed.bytes) {
		d.w.violated("diverged", "c%d differs from the leader before it after %d entries", m.id,
			m.applied)
	}
}

// led has all nodes say what they do to a new leader.
func (d *day) led() {
	if d == nil {
		return
	}
	for _, n := range d.w.nodes {
		n.wake()
	}
}

// changed takes a machine into the account of device time. It is called wherever a process starts
// or ends, and wherever a rank does.
func (n *node) changed() {
	d := n.w.day
	if d == nil {
		return
	}
	to := gaugeIdle
	switch {
	case !n.up:
		to = gaugeAway
	case n.work != nil:
		to = gaugeBusy
	}

	now := d.since()
	if n.account.known {
		if n.account.as == to {
			return
		}
		d.gauges[n.account.as].add(-1, now)
	}

	if k := n.account.work; k != nil {
		d.clips[k.plan.Job].Busy += now - n.account.since
	}
	n.account = account{known: true, as: to, since: now, work: n.work}
	d.gauges[to].add(1, now)
}

// account is as what a machine counts at present: one of the gauges of devices, since when, and
// with which rank. It outlives the process, and is not known before the first one boots.
type account struct {
	known bool
	as    int
	since time.Duration
	work  *work
}

// sum returns a hash as text.
func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
