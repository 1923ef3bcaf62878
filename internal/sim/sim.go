package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Options choose a run.
type Options struct {
	// Seed decides everything that is left to chance.
	Seed uint64
	// Mutant plants a bug, to show that the checkers find it; see Mutants. "" plants none.
	Mutant string
	// Trace keeps the last lines of what happened for the report of a failure. It costs most of a
	// run's time, so one runs without it first and again with it when a seed fails.
	Trace bool
}

// Lengths of a run, in virtual time.
const (
	troubled = 40 * time.Second  // faults may happen until then
	healing  = 600 * time.Second // then none do, and every job has to end in that time
	traceMax = 400               // lines that a trace keeps
)

// Stats counts what happened in a run. A test sums them over all seeds and wants each to be above
// 0: a fault that never happens proves nothing.
type Stats struct {
	Events   int // that the queue ran
	Jobs     int // that were acknowledged
	Attempts int // that were placed
	Commits  int // entries of the log

	Crashes int // of members and nodes
	Freezes int // of nodes
	Cuts    int // of nodes from the network
	Terms   int // leaders that were elected

	Damaged        int // checkpoints that decayed in the store
	Yields         int // attempts that stopped at a step boundary when they were asked to
	DamagedEntries int // of the log, on one member's disk
	Jumps          int // of a member's wall clock
	Kept           int // attempts that began with finished latents
	Loads          int // of a model on a node that had another one ready
	Predicted      int // attempts that were placed by the time of a step
	Limited        int // attempts of keys that may run one job at a time
	Spent          int // attempts that stopped as the day's device-seconds were used
}

// Add adds b to s.
func (s *Stats) Add(b Stats) {
	s.Events += b.Events
	s.Jobs += b.Jobs
	s.Attempts += b.Attempts
	s.Commits += b.Commits
	s.Crashes += b.Crashes
	s.Freezes += b.Freezes
	s.Cuts += b.Cuts
	s.Terms += b.Terms
	s.Damaged += b.Damaged
	s.Yields += b.Yields
	s.Kept += b.Kept
	s.Predicted += b.Predicted

	s.DamagedEntries += b.DamagedEntries
	s.Jumps += b.Jumps
	s.Loads += b.Loads
	s.Limited += b.Limited
	s.Spent += b.Spent
}

// Failure is what a checker found. It implements error.
type Failure struct {
	Seed  uint64   // that runs it again
	Kind  string   // what was violated, such as "vanished"; Mutants has one bug for each kind
	What  string   // one line with the job, the attempt and what was wrong
	Trace []string // what happened before, if Options asked for it
}

// Error returns the seed, what was violated, and the trace, one line for each event.
func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d: %s: %s\n%s", f.Seed, f.Kind, f.What, strings.Join(f.Trace, "\n"))
}

// world is one run. Everything in it happens on one goroutine, one event after the other.
type world struct {
	Options
	rng     *rand.Rand // the only source of chance
	loss    float64    // the probability that a message is lost, drawn once for the run
	now     time.Time  // virtual
	start   time.Time
	queue   events
	seq     int // of the latest event
	stats   Stats
	failure *Failure // the first one, which ends the run
	trace   []string

	raft    *raft
	models  job.Models // that the cluster will serve
	nodes   []*node
	byID    map[job.NodeID]*node // the latest process of each machine
	pace    pace
	day     *day // of a Setup; nil: a short run with every fault
	store   *store
	clients *clients
	check   *checker
}

// Run runs a seed until every job has ended, a checker finds something wrong, or the time is over.
// The error is a *Failure. Run may be called from several goroutines; runs share nothing.
func Run(o Options) (Stats, error) {
	w := newWorld(o)
	w.run()
	if w.failure != nil {
		w.failure.Trace = w.trace
		return w.stats, w.failure
	}
	return w.stats, nil
}

// newWorld plans a run: members, nodes, what clients will ask for, and faults.
func newWorld(o Options) *world {
	w := emptyWorld(o)
	w.pace = drawn{w}

	// Seeds differ in kind, not only in detail: some have a perfect network, some a bad one.
	w.loss = []float64{0, 0.03, 0.03, 0.15}[w.rng.IntN(4)]
	w.raft = newRaft(w)

	for i := range 1 + w.rng.IntN(6) {
		w.nodes = append(w.nodes, &node{w: w, name: fmt.Sprintf("s%d", i)})
	}
	w.models = models(1 + w.rng.IntN(3))
	w.shareModels()
	w.shareHosts()
	for _, n := range w.nodes {
		w.after(w.between(0, 2*time.Second), n.boot)
	}

	w.clients = newClients(w)
	w.faults()
	return w
}

// emptyWorld returns a world with a store and a clock, and nothing else.
func emptyWorld(o Options) *world {
	w := &world{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0x6c6f6e6774616b65)),
		byID: map[job.NodeID]*node{}}
	w.start = time.Unix(1_700_000_000, 0).UTC()
	w.now = w.start
	w.store = &store{w: w, objects: map[string]stored{}}
	w.check = newChecker(w)
	return w
}

// run executes events until all is done or something is wrong.
func (w *world) run() {
	end := w.start.Add(troubled + healing)
	for len(w.queue) > 0 && w.failure == nil {
		e := w.queue.pop()
		if e.at.After(end) {
			w.check.stuck()
			return
		}

		w.now = e.at
		w.stats.Events++
		e.do()
		// The coordinator's loop looks at the queue when no event waits. Here that is after each.
		w.raft.settle()

		if w.calm() && w.clients.done() && w.check.ended() {
			w.check.last()
			return
		}
	}
}

// calm reports whether the time of faults is over. The faults of a Setup are in its plan, and
// nothing is left to chance.
func (w *world) calm() bool { return w.day != nil || w.now.Sub(w.start) > troubled }

// after plans f as an event that runs once d has passed.
func (w *world) after(d time.Duration, f func()) {
	w.seq++
	w.queue.push(event{at: w.now.Add(d), seq: w.seq, do: f})
}

// between draws a duration from lo to hi, both included.
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

// chance draws whether something that goes wrong with probability p does so now. Nothing does once
// the world is calm.
func (w *world) chance(p float64) bool { return !w.calm() && w.rng.Float64() < p }

// log adds a line to the trace, with the seconds since the start.
func (w *world) log(format string, args ...any) {
	if !w.Trace {
		return
	}
	line := fmt.Sprintf("%8.3f ", w.now.Sub(w.start).Seconds()) + fmt.Sprintf(format, args...)
	w.trace = append(w.trace, line)
	if len(w.trace) > traceMax {
		w.trace = w.trace[1:]
	}
}

// violated ends the run, with the kind of what was violated and one line about it. Only the first
// call counts, since what follows from a violation is of little interest.
func (w *world) violated(kind, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Failure{Seed: w.Seed, Kind: kind, What: fmt.Sprintf(format, args...)}
		w.log("VIOLATED %s: %s", kind, w.failure.What)
	}
}

// message carries f over the network: late, not at all, or twice, the second time out of order.
func (w *world) message(f func()) {
	if w.day != nil {
		w.after(latency, f)
		return
	}
	if w.chance(w.loss) {
		return
	}
	w.after(w.between(100*time.Microsecond, 20*time.Millisecond), f)
	if w.chance(0.02) {
		w.after(w.between(time.Millisecond, 3*time.Second), f)
	}
}

// faults plans what goes wrong with machines, and the end of it. What goes wrong with messages, the
// store and the log is drawn where it happens; see chance.
func (w *world) faults() {
	// Nodes: few faults in some seeds, so that jobs also run undisturbed; very many in others.
	for range w.rng.IntN([]int{3, 9, 9, 25}[w.rng.IntN(4)]) {
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		fault := []func(){n.crash, n.freeze, n.cut, n.hang, n.leave}[w.rng.IntN(5)]
		w.after(w.between(time.Second, troubled-time.Second), fault)
	}

	// Coordinators. They need longer than a node to be well again, so their faults end earlier.
	for range w.rng.IntN(6) {
		fault := []func(){w.raft.crashLeader, w.raft.depose, w.raft.crashAll, w.raft.jump,
			w.raft.jump}[w.rng.IntN(5)]
		w.after(w.between(time.Second, troubled-5*time.Second), fault)
	}

	// The object store.
	for range w.rng.IntN(3) {
		w.after(w.between(time.Second, troubled), w.store.rot)
	}

	w.after(troubled, func() {
		w.log("all is well from now on")
		for _, n := range w.nodes {
			n.heal()
		}
	})
}
