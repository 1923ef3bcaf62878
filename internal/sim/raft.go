package sim

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

const members = 3 // of a run that is about faults

// raft is an ideal consensus: one log, of which every member has applied a prefix, and at most one
// leader that can append. It stands for hashicorp/raft, which has tests of its own; what is tested
// here is how the core copes with what Raft may do to it. In particular, members that were deposed
// believe for a while that they lead.
type raft struct {
	w      *world
	log    [][]byte  // committed entries, but for those that a snapshot stands for
	cut    int       // how many these are
	cores  []*member // by id
	leader int       // whose entries are committed; -1: nobody's, until the next election
}

// member is a coordinator: what it has on its disk, and the process that runs on it.
type member struct {
	r       *raft
	id      int
	core    *core.Core    // what it runs; another one after each boot
	applied int           // how many entries of the log this core has applied
	down    bool          // the process does not run
	skew    time.Duration // by which its wall clock is wrong
	snap    []byte        // its latest snapshot, nil before the first
	snapped int           // how many entries snap stands for
}

// tick is how often a leader looks at what time has brought, which is also the default of
// core.Timing.
const tick = 250 * time.Millisecond

// newRaft starts the members and elects one of them.
func newRaft(w *world) *raft {
	r := &raft{w: w, leader: -1}
	n := members
	if w.day != nil {
		n = w.day.s.Members
	}
	for i := range n {
		m := &member{r: r, id: i}
		m.boot()
		r.cores = append(r.cores, m)
	}
	r.elect()
	return r
}

// boot starts the process of a member with an empty memory: its state is that of its snapshot, and
// catchUp applies the rest of the log. Its ticks go on for as long as this process runs.
func (m *member) boot() {
	w := m.r.w
	if m.r.length() > 0 && w.is("a member comes back without its log") {
		defer func() { m.applied = m.r.length() }()
	}

	cfg := core.Config{CheckpointEvery: 1, PreviewEvery: 1}
	if w.day != nil {
		cfg = w.day.config()
	}
	cfg.Clock = func() time.Time { return w.now }
	cfg.Now = func() time.Time { return w.now.Add(m.skew) }
	m.core = core.New(cfg, surroundings{m}, core.Unobserved{})
	m.applied, m.down = 0, false

	m.restore()

	k := m.core
	w.after(w.between(0, w.tick()), func() { m.tick(k) })
}

// restore begins with the latest snapshot, if there is one: what follows it in the log is applied
// by catchUp.
func (m *member) restore() {
	if m.snap == nil {
		return
	}
	machine, err := core.ReadSnapshot(bytes.NewReader(m.snap))
	if err != nil {
		m.r.w.violated("snapshot", "%v", err)
	} else {
		m.core.Restore(machine)
	}
	m.applied = m.snapped
}

// tick ticks the core k, unless its process has ended since.
func (m *member) tick(k *core.Core) {
	if m.core != k || m.down {
		return
	}
	k.Tick(m.r.w.now)
	m.r.w.after(m.r.w.tick(), func() { m.tick(k) })
}

// catchUp applies what is committed and was not applied yet. Now and then an entry on the member's
// disk is damaged: the core must notice and refuse to go on, and the process ends. It comes back
// once the operator has replaced the entry by a good copy.
func (m *member) catchUp() {
	w, rate := m.r.w, 0.0005
	if w.is("a damaged entry is skipped") {
		rate = 0.01 // so that few seeds do to find it
	}

	if m.applied < m.r.cut { // the log does not reach back so far
		m.restore()
	}
	for ; m.applied < m.r.length(); m.applied++ {
		entry, damaged := m.r.entry(m.applied), w.chance(rate)
		if damaged {
			// One bit, anywhere: in the checksum, in the JSON, in a name.
			entry = bytes.Clone(entry)
			entry[w.rng.IntN(len(entry))] ^= 1 << w.rng.IntN(8)
			w.stats.DamagedEntries++
			if w.is("a damaged entry is skipped") {
				continue
			}
		}

		m.core.Apply(uint64(m.applied+1), entry)
		if err := m.core.Err(); (err != nil) != damaged {
			w.violated("damage", "entry %d, damaged: %v, gave %v", m.applied+1, damaged, err)
		} else if damaged {
			w.log("c%d stops: %v", m.id, err)
			m.r.crash(m)
			return
		}
	}
}

// append commits an entry, unless the member was deposed, and has the checker look at it. Now and
// then the leader is deposed between the commit and its answer, so that it never learns of it: what
// follows must be right whether an entry with an unknown outcome was committed or not.
func (m *member) append(entry []byte) (job.Record, error) {
	w := m.r.w
	if m.r.leader != m.id || m.down || w.failure != nil {
		return job.Record{}, fmt.Errorf("cannot commit: %w", core.ErrNotLeader)
	}
	w.stats.Commits++

	// Planted bugs change the entry, or keep it from the log.
	c := read(entry)
	if c.Kind == "place" && w.is("queued jobs are never placed") {
		return job.Record{}, fmt.Errorf("cannot commit: %w", core.ErrNotLeader)
	}
	entry, lost := w.mutateEntry(m, c, entry)
	if lost {
		return w.check.pretend(c), nil
	}

	// The leader applies an entry as soon as it is committed; the others do so in catchUp.
	before, _ := m.core.Machine().Record(c.Job)
	m.r.log = append(m.r.log, entry)
	rec, err := m.core.Apply(uint64(m.r.length()), entry)
	m.applied = m.r.length()
	w.log("c%d commits %s %s attempt %d: %v", m.id, c.Kind, c.Job, rec.Attempt, err)

	// A leader checks before it commits. An entry that the machine refuses as invalid got past that.
	if invalid := new(job.FieldError); errors.As(err, &invalid) {
		w.violated("refused", "the leader decides what is not valid: %v", err)
	}
	if err == nil {
		w.mutateRecord(c, &before, &rec)
		w.check.committed(m.core, c, before, rec)
	}
	w.day.committed(m, c, entry, before, rec, err)

	if w.chance(0.004) { // it is committed, but the leader never learns
		w.log("c%d is deposed before it learns of that", m.id)
		m.r.leader = -1
		w.after(w.between(200*time.Millisecond, 2*time.Second), m.r.elect)
		return job.Record{}, fmt.Errorf("cannot commit: %w", core.ErrNotLeader)
	}
	return rec, err
}

// jump sets the wall clock of a member wrong, by up to two hours. Nothing that it decides about
// leases and silence may depend on that clock.
func (r *raft) jump() {
	m := r.cores[r.w.rng.IntN(len(r.cores))]
	m.skew = r.w.between(-2*time.Hour, 2*time.Hour)
	r.w.stats.Jumps++
	r.w.log("c%d has its clock set by %v", m.id, m.skew)
}

// elect makes a member that is up the leader, if a majority is up and there is none. It has applied
// the whole log before it leads, as Raft's barrier guarantees. Members that led before may go on
// for up to a second before they learn of it.
func (r *raft) elect() {
	if r.leader >= 0 {
		return
	}
	var up []*member
	for _, m := range r.cores {
		if !m.down {
			up = append(up, m)
		}
	}
	if len(up) <= len(r.cores)/2 {
		r.w.after(500*time.Millisecond, r.elect)
		return
	}

	m := up[r.w.rng.IntN(len(up))]
	r.leader = m.id
	r.w.stats.Terms++
	r.w.log("c%d leads", m.id)
	m.core.Resign()
	if m.catchUp(); m.down {
		r.w.after(500*time.Millisecond, r.elect)
		return
	}
	r.w.day.inherits(m)
	m.core.Lead()
	r.w.day.led()

	for _, old := range up {
		if old != m && old.core.Leads() {
			r.w.after(r.w.between(0, time.Second), func() { r.learn(old) })
		}
	}
}

// learn tells a member that it does not lead any more, if so. It catches up, which is an occasion
// to compare it with the others and to let it take a snapshot.
func (r *raft) learn(m *member) {
	if r.leader != m.id {
		m.core.Resign()
	}
	if m.catchUp(); m.down {
		return
	}
	r.w.check.same()
	if r.w.rng.IntN(2) == 0 {
		m.compact()
	}
}

// snapshot returns what Raft would write to the disk as the state of the member.
func (m *member) snapshot() []byte {
	var out bytes.Buffer
	snap, err := m.core.Snapshot()
	if err == nil {
		err = snap.Write(&out)
	}
	if err != nil {
		m.r.w.violated("snapshot", "%v", err)
	}
	return out.Bytes()
}

// compact takes a snapshot, from which the member begins after its next crash.
func (m *member) compact() {
	m.snap, m.snapped = m.snapshot(), m.applied
	if m.r.w.is("a snapshot misses a job") {
		m.snap = rewrite(m.snap, func(s map[string]any) {
			if jobs, _ := s["jobs"].([]any); len(jobs) > 0 {
				s["jobs"] = jobs[1:]
			}
		})
	}
}

// depose ends the term of the leader without telling it, as a cut network does. What it appends
// from now on is not committed.
func (r *raft) depose() {
	if r.leader < 0 {
		return
	}
	r.w.log("c%d is deposed", r.leader)
	r.leader = -1
	r.w.after(r.w.between(100*time.Millisecond, 3*time.Second), r.elect)
}

// crashLeader kills the leader's process; an election follows.
func (r *raft) crashLeader() {
	if r.leader >= 0 {
		r.crash(r.cores[r.leader])
		r.w.after(r.w.between(300*time.Millisecond, 3*time.Second), r.elect)
	}
}

// crashAll kills every member at once, as a power cut does. They come back with what is on their
// disks; all that was only in the leader's memory is gone.
func (r *raft) crashAll() {
	for _, m := range r.cores {
		r.crash(m)
	}
	r.w.after(r.w.between(time.Second, 6*time.Second), r.elect)
}

// crash kills the process of a member, which boots again after a while.
func (r *raft) crash(m *member) {
	if m.down {
		return
	}
	r.w.stats.Crashes++
	r.w.log("c%d crashes", m.id)
	r.w.day.crash(m)
	m.down = true
	m.core.Resign()
	if r.leader == m.id {
		r.leader = -1
	}
	r.w.after(r.w.between(200*time.Millisecond, 5*time.Second), func() {
		r.w.log("c%d is back", m.id)
		m.boot()
	})
}

// settle has every member that believes to lead look at the queue, as package coord does when its
// loop has nothing else to do.
func (r *raft) settle() {
	for _, m := range r.cores {
		if !m.down && m.core.Leads() {
			m.core.Settle()
		}
	}
}

// length is how many entries were committed in all: those of the log, and those before them that a
// snapshot stands for.
func (r *raft) length() int { return r.cut + len(r.log) }

// entry returns the i-th one, which no snapshot may stand for.
func (r *raft) entry(i int) []byte { return r.log[i-r.cut] }

// lead returns the core whose entries are committed, nil if there is none at present.
func (r *raft) lead() *core.Core {
	if r.leader < 0 {
		return nil
	}
	return r.cores[r.leader].core
}

// handle delivers a node's message to all members that believe to lead: NATS does not know which of
// them does. Each answer travels back over the network to reply.
func (r *raft) handle(m any, reply func(any)) {
	for _, c := range r.cores {
		if c.down || !c.core.Leads() {
			continue
		}
		err := c.core.Handle("", m, func(a any) {
			if reply != nil {
				r.w.message(func() { reply(a) })
			}
		})
		if err != nil {
			r.w.violated("message", "%v", err)
		}
	}
}
