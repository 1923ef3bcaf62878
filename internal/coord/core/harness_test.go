package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// demo is the model that nodes of the tests hold.
func demo() job.Model {
	return job.Model{Name: "demo", Fingerprint: "f1", Heads: 6, HeadDim: 32, Layers: 8,
		Patch: [3]int{1, 2, 2}, LatentChannels: 16, TemporalScale: 4, SpatialScale: 8,
		Defaults: job.Defaults{Width: 96, Height: 64, Frames: 33, Steps: 4, FPS: 16,
			GuidanceScale: 4, FlowShift: 3, Scheduler: "unipc"}}
}

// spec is that of a job of the demo.
func spec() job.Spec {
	s, err := demo().Resolve(job.Request{Prompt: "a ball"}, nil)
	if err != nil {
		panic(err)
	}
	return s
}

// object is one that was stored.
func object(name string) job.Object {
	return job.Object{Name: name, Size: 1, SHA256: strings.Repeat("0a", 32)}
}

// order is what a node was sent.
type order struct {
	node  job.NodeID
	order any
	done  func(error)
}

// fakeWorld is the World of a core that leads alone. Its clock stands still unless a test moves it.
type fakeWorld struct {
	speaks int // what all coordinators read; 0: the newest
	t      *testing.T
	k      *Core
	clock  time.Time
	today  time.Time // the time of day
	index  uint64
	// committing, if it is set, is called while an entry is on its way to the disk.
	committing func()
	// applied, if it is set, is called with each entry that was applied.
	applied func(entry []byte)
	orders  []order
	routes  []wire.Routes // that were published
	stored  []string
	// looks are answers of the object store that a test has still to let through.
	looks []func()
	disk  Disk
	from  string // the identity of who sends; "": the cluster is open
}

// leads returns the world of a core that leads, whose store is known to be its own.
func leads(t *testing.T, edit ...func(*Config)) *fakeWorld {
	start := time.Unix(1_700_000_000, 0).UTC()
	w := &fakeWorld{t: t, clock: start, today: start}
	cfg := Config{ID: "c1", CheckpointEvery: 1, PreviewEvery: 1,
		Clock: func() time.Time { return w.clock }, Now: func() time.Time { return w.today }}
	for _, e := range edit {
		e(&cfg)
	}
	w.k = New(cfg, w, Unobserved{})
	w.k.Lead()
	w.tick()
	w.answer()
	if w.k.Machine().Cluster() == "" {
		t.Fatal("the cluster has no id")
	}
	return w
}

// Append implements World.
func (w *fakeWorld) Append(entry []byte) (job.Record, error) {
	if w.committing != nil {
		w.committing()
	}
	w.index++
	r, err := w.k.Apply(w.index, entry)
	if w.applied != nil {
		w.applied(entry)
	}
	return r, err
}

// Confirm implements World.
func (w *fakeWorld) Confirm(done func(bool)) { done(true) }

// Send implements World.
func (w *fakeWorld) Send(n job.NodeID, o any, _ time.Duration, done func(error)) {
	w.orders = append(w.orders, order{n, o, done})
}

// PublishRoutes implements World.
func (w *fakeWorld) PublishRoutes(r wire.Routes) error {
	w.routes = append(w.routes, r)
	return nil
}

// Deaf implements World.
func (w *fakeWorld) Deaf() bool { return false }

// Disk implements World.
func (w *fakeWorld) Disk() Disk { return w.disk }

// Objects implements World.
func (w *fakeWorld) Objects() Objects { return fakeStore{w} }

// Speaks implements World.
func (w *fakeWorld) Speaks() (int, string) {
	if w.speaks == 0 {
		return CommandVersion, ""
	}
	return w.speaks, "c2 has an older version"
}

// Random implements World.
func (w *fakeWorld) Random(p []byte) { copy(p, fmt.Sprint(w.index, w.clock.UnixNano())) }

// fakeStore is a store whose answers wait until the test calls answer.
type fakeStore struct{ w *fakeWorld }

func (s fakeStore) later(f func()) { s.w.looks = append(s.w.looks, f) }

// Find implements Objects.
func (s fakeStore) Find(want []job.Object, done func(*job.Object, error)) {
	s.later(func() {
		for _, o := range want {
			if !slices.Contains(s.w.stored, o.Name) {
				done(&o, nil)
				return
			}
		}
		done(nil, nil)
	})
}

// List implements Objects.
func (s fakeStore) List(done func([]string, error)) {
	s.later(func() { done(s.w.stored, nil) })
}

// Put implements Objects.
func (s fakeStore) Put(_ []byte, done func(error)) { s.later(func() { done(nil) }) }

// Delete implements Objects.
func (s fakeStore) Delete(all []job.Object, done func([]string)) {
	s.later(func() {
		var names []string
		for _, o := range all {
			names = append(names, o.Name)
		}
		s.w.stored = slices.DeleteFunc(s.w.stored, func(n string) bool {
			return slices.Contains(names, n)
		})
		done(names)
	})
}

// answer lets the store answer all that it was asked, and what it is asked because of that.
func (w *fakeWorld) answer() {
	for len(w.looks) > 0 {
		f := w.looks[0]
		w.looks = w.looks[1:]
		f()
	}
}

// tick lets the leader do its periodic work, having heard everybody.
func (w *fakeWorld) tick() {
	w.k.Tick(w.clock)
	w.k.Settle()
}

// pass moves the clock and the time of day, and ticks.
func (w *fakeWorld) pass(d time.Duration) {
	w.clock, w.today = w.clock.Add(d), w.today.Add(d)
	w.tick()
}

// say has the core handle a message and returns the answer.
func say[A any](w *fakeWorld, m any) (out A) {
	w.t.Helper()
	err := w.k.Handle(w.from, m, func(a any) { out = a.(A) })
	if err != nil {
		w.t.Fatal(err)
	}
	w.k.Settle()
	return out
}

// join registers a node, of the demo if it has no models of its own.
func (w *fakeWorld) join(id job.NodeID, models ...job.Model) wire.Welcome {
	w.t.Helper()
	a := w.register(id, models...)
	if !a.Accepted {
		w.t.Fatalf("node %s: %+v", id, a)
	}
	return a
}

// register has a node ask to be taken.
func (w *fakeWorld) register(id job.NodeID, models ...job.Model) wire.Welcome {
	w.t.Helper()
	if models == nil {
		models = []job.Model{demo()}
	}
	return say[wire.Welcome](w, wire.Registration{Node: id, Name: "name-" + string(id), Threads: 1,
		Model: models[0], More: models[1:], Route: "nats-route://" + string(id) + ":1"})
}

// create queues a job on a number of shards.
func (w *fakeWorld) create(shards int) (id job.ID) {
	w.t.Helper()
	w.k.Create(job.Request{Prompt: "a ball", Shards: shards}, func(r job.Record, err error) {
		if err != nil {
			w.t.Fatal(err)
		}
		id = r.ID
	})
	w.k.Settle()
	return id
}

// take has all nodes acknowledge the orders that they were sent, and returns those to start.
func (w *fakeWorld) take() (starts []wire.StartOrder) {
	orders := w.orders
	w.orders = nil
	for _, o := range orders {
		o.done(nil)
		if s, ok := o.order.(wire.StartOrder); ok {
			starts = append(starts, s)
		}
	}
	w.k.Settle()
	return starts
}

// beat sends a heartbeat of a node with the work of its start order; nil: it is idle.
func (w *fakeWorld) beat(id job.NodeID, s *wire.StartOrder) wire.Pulse {
	w.t.Helper()
	h := wire.Heartbeat{Node: id, State: wire.Idle}
	if s != nil {
		h.State = wire.Busy
		h.Work = wire.Work{Job: s.Plan.Job, Attempt: s.Plan.Attempt, Rank: s.Rank}
	}
	return say[wire.Pulse](w, h)
}

func (w *fakeWorld) record(id job.ID) job.Record {
	r, _ := w.k.Machine().Record(id)
	return r
}

var errNoAnswer = errors.New("no answer")
