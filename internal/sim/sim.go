package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Options choose a run.
type Options struct {
	Seed uint64
	// Mutant plants a bug, to show that the checkers find it; see Mutants.
	Mutant string
	// Trace keeps what happened, for the report of a failure.
	Trace bool
}

// Lengths of a run, in virtual time.
const (
	troubled = 40 * time.Second  // faults happen
	healing  = 600 * time.Second // none do: every job has to end
	traceMax = 400               // lines
)

// Stats counts what happened in a run. A test wants all of it to happen in many runs: a fault that
// is never drawn proves nothing.
type Stats struct {
	Events, Jobs, Attempts, Commits int
	Crashes, Freezes, Cuts, Terms   int
	Damaged, Yields                 int
	DamagedEntries, Jumps           int
	Kept                            int // attempts that began with finished latents
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
	s.DamagedEntries += b.DamagedEntries
	s.Jumps += b.Jumps
}

// Failure is what a checker found.
type Failure struct {
	Seed  uint64   // run it again to see the same
	Kind  string   // of what was violated
	What  string   // in one line
	Trace []string // what happened before, if Options asked for it
}

// Error tells the seed and the trace.
func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d: %s: %s\n%s", f.Seed, f.Kind, f.What, strings.Join(f.Trace, "\n"))
}

// event is something that happens at a time.
type event struct {
	at  time.Time
	seq int
	do  func()
}

// events is a heap by time; of the same time, the event that was planned first comes first.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *events) Push(x any) { *e = append(*e, x.(event)) }

// Pop implements heap.Interface.
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// world is one run.
type world struct {
	Options
	rng     *rand.Rand // everything that is random is drawn from it, in a fixed order
	loss    float64    // of messages
	now     time.Time  // virtual
	start   time.Time
	queue   events
	seq     int // of the latest event
	stats   Stats
	failure *Failure
	trace   []string

	raft    *raft
	nodes   []*node
	store   *store
	clients *clients
	check   *checker
}

// Run runs a seed to its end; the error is a *Failure.
func Run(o Options) (Stats, error) {
	w := newWorld(o)
	w.run()
	if w.failure != nil {
		w.failure.Trace = w.trace
		return w.stats, w.failure
	}
	return w.stats, nil
}

// newWorld draws a cluster, its clients and its faults.
func newWorld(o Options) *world {
	w := &world{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0x6c6f6e6774616b65))}
	w.start = time.Unix(1_700_000_000, 0).UTC()
	w.now = w.start
	w.loss = []float64{0, 0.03, 0.03, 0.15}[w.rng.IntN(4)]
	w.store = &store{w: w, objects: map[string]stored{}}
	w.check = newChecker(w)
	w.raft = newRaft(w)
	for i := range 1 + w.rng.IntN(6) {
		w.nodes = append(w.nodes, &node{w: w, name: fmt.Sprintf("s%d", i)})
	}

	for _, n := range w.nodes {
		w.after(w.between(0, 2*time.Second), n.boot)
	}
	w.clients = newClients(w)
	w.faults()
	return w
}

// run executes events until all is done or something is wrong.
func (w *world) run() {
	end := w.start.Add(troubled + healing)
	for len(w.queue) > 0 && w.failure == nil {
		e := heap.Pop(&w.queue).(event)
		if e.at.After(end) {
			w.check.stuck()
			return
		}

		w.now = e.at
		w.stats.Events++
		e.do()
		w.raft.settle()
		if w.calm() && w.clients.done() && w.check.ended() {
			w.check.last()
			return
		}
	}
}

// calm reports whether no more faults happen.
func (w *world) calm() bool { return w.now.Sub(w.start) > troubled }

// after runs f once d has passed.
func (w *world) after(d time.Duration, f func()) {
	w.seq++
	heap.Push(&w.queue, event{at: w.now.Add(d), seq: w.seq, do: f})
}

// between draws a duration.
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

// chance draws a yes; never when the world has calmed down.
func (w *world) chance(p float64) bool { return !w.calm() && w.rng.Float64() < p }

// log adds a line to the trace.
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

// violated ends the run.
func (w *world) violated(kind, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Failure{Seed: w.Seed, Kind: kind, What: fmt.Sprintf(format, args...)}
		w.log("VIOLATED %s: %s", kind, w.failure.What)
	}
}

// message carries f over the network: late, not at all, or twice.
func (w *world) message(f func()) {
	if w.chance(w.loss) {
		return
	}
	w.after(w.between(100*time.Microsecond, 20*time.Millisecond), f)
	if w.chance(0.02) {
		w.after(w.between(time.Millisecond, 3*time.Second), f)
	}
}

// faults plans what goes wrong with machines.
func (w *world) faults() {
	for range w.rng.IntN([]int{3, 9, 9, 25}[w.rng.IntN(4)]) {
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		fault := []func(){n.crash, n.freeze, n.cut, n.hang, n.leave}[w.rng.IntN(5)]
		w.after(w.between(time.Second, troubled-time.Second), fault)
	}

	for range w.rng.IntN(6) {
		fault := []func(){w.raft.crashLeader, w.raft.depose, w.raft.crashAll, w.raft.jump,
			w.raft.jump}[w.rng.IntN(5)]
		w.after(w.between(time.Second, troubled-5*time.Second), fault)
	}

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

// model is what every shard serves.
func model() job.Model {
	return job.Model{Name: "sim", Fingerprint: "f", Heads: 6, HeadDim: 32, Layers: 8,
		Patch: [3]int{1, 2, 2}, LatentChannels: 16, TemporalScale: 4, SpatialScale: 8,
		Defaults: job.Defaults{Width: 96, Height: 64, Frames: 33, Steps: 4, FPS: 16,
			GuidanceScale: 4, FlowShift: 3, Scheduler: "unipc"}}
}
