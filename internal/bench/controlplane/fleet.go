package controlplane

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/wire"
)

// fleet is all shards, and what they know of each other: where ranks of an attempt meet, and when
// what was asked for, so that times between two of them can be told.
type fleet struct {
	cfg Config
	// Ends all of them.
	ctx   context.Context
	model job.Model
	// Of previews.
	picture []byte
	// The coordinators' NATS.
	control string
	hosts   []*pki.Identity

	// Of the phase that is under way.
	samples atomic.Pointer[samples]
	// Progress that was sent, bytes of routes that came.
	reports, routes atomic.Int64

	shards []*shard
	// Of shards that start again.
	booting sync.WaitGroup

	mu       sync.Mutex
	attempts map[wire.Work]*attempt
	// Ranks of an attempt that are over.
	parted map[wire.Work]int
	// When a client sent the request.
	asked map[job.ID]time.Time
	// Orders of jobs whose clients have no answer yet.
	early map[job.ID]time.Time
	// Attempts of which a rank died.
	killed map[wire.Work]time.Time
	// Of refusals.
	why map[string]int
}

// newFleet returns shards that are not started yet. control are the URLs of the coordinators' NATS,
// hosts the certificates of a locked cluster, by host; ctx ends all of them.
func newFleet(ctx context.Context, cfg Config, control string, hosts []*pki.Identity) *fleet {
	f := &fleet{cfg: cfg, ctx: ctx, model: bigModel(), control: control, hosts: hosts,
		shards:   make([]*shard, cfg.Shards),
		attempts: map[wire.Work]*attempt{}, parted: map[wire.Work]int{},
		asked: map[job.ID]time.Time{}, early: map[job.ID]time.Time{},
		killed: map[wire.Work]time.Time{}, why: map[string]int{}}

	// Coordinators look at the first bytes of a preview alone.
	f.picture = append([]byte("RIFF....WEBPVP8X"), make([]byte, max(0, cfg.PreviewBytes-16))...)
	f.samples.Store(newSamples())
	return f
}

// bigModel is what all shards say that they have. It is of the form of Wan's 14B, so that
// predictions and choices of nodes are those of a cluster of many GPUs. There are no weights. Clips
// are small, since coordinators promise each one room on the disk that it will not take here.
func bigModel() job.Model {
	return job.Model{Name: "bench", Fingerprint: "none", Heads: 40, HeadDim: 128, Layers: 40,
		Patch: [3]int{1, 2, 2}, LatentChannels: 16, TemporalScale: 4, SpatialScale: 8,
		Cost: job.Cost{FFNDim: 13824, Decode: 1e9, Pixels: 1280 * 720},
		Defaults: job.Defaults{Width: 256, Height: 256, Frames: 17, Steps: 50, FPS: 16,
			GuidanceScale: 5, FlowShift: 3, Scheduler: "unipc", DType: "bf16"}}
}

// note times something in the phase that is under way.
func (f *fleet) note(kind string, took time.Duration, err error) {
	f.samples.Load().add(kind, took, err)
}

// phase begins another phase and returns what was timed in the one before.
func (f *fleet) phase() *samples { return f.samples.Swap(newSamples()) }

// identityOf is the name in the certificate of a shard's host, "" in an open cluster.
func (f *fleet) identityOf(index int) string {
	if len(f.hosts) == 0 {
		return ""
	}
	return hostName(index / f.cfg.PerHost)
}

// hostName is the name of a host, also in its certificate.
func hostName(n int) string { return fmt.Sprintf("host-%d", n) }

// dial connects a shard as package shard does.
func (f *fleet) dial(index int) (*nats.Conn, error) {
	opts := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(retryPause),
		nats.RetryOnFailedConnect(true), nats.Name(fmt.Sprintf("shard-%d", index)),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}

	// Shards of a host have one certificate, and inboxes that no other host may listen to.
	if len(f.hosts) > 0 {
		i := f.hosts[index/f.cfg.PerHost]
		opts = append(opts, natsd.Locked(i, pki.RoleCoordinator, wire.Inbox(i.ID().Name))...)
	}
	c, err := nats.Connect(f.control, opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the coordinators' NATS: %w", err)
	}
	return c, nil
}

// start boots all shards, which register within spread, and waits until a leader has welcomed each
// of them. It returns how long that took.
func (f *fleet) start(spread time.Duration) (time.Duration, error) {
	// Connections are made one after the other, as machines that are switched on come up one by one.
	began := time.Now()
	for i := range f.shards {
		if err := f.bootOne(i, spread*time.Duration(i)/time.Duration(len(f.shards))); err != nil {
			return 0, err
		}
	}
	err := f.welcomed("")
	return time.Since(began), err
}

// bootOne starts a shard, in the place of one that has died.
func (f *fleet) bootOne(index int, after time.Duration) error {
	c, err := f.dial(index)
	if err != nil {
		return err
	}
	s, err := f.boot(index, c, after)
	if err == nil {
		f.mu.Lock()
		f.shards[index] = s
		f.mu.Unlock()
	}
	return err
}

// all returns the shards as they are now.
func (f *fleet) all() []*shard {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*shard(nil), f.shards...)
}

// welcomed waits until a leader other than one has welcomed all shards.
func (f *fleet) welcomed(other string) error {
	const limit = 2 * time.Minute
	for end := time.Now().Add(limit); ; pause(f.ctx, 5*time.Millisecond) {

		// A leader says its name in each welcome, so who has not heard another one is not in its table.
		missing := 0
		for _, s := range f.all() {
			s.mu.Lock()
			if s.leader == "" || s.leader == other {
				missing++
			}
			s.mu.Unlock()
		}

		switch {
		case f.ctx.Err() != nil:
			return f.ctx.Err()
		case missing == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%d of %d shards are not registered after %v: %s", missing, f.cfg.Shards,
				limit, f.reasons())
		}
	}
}

// stop kills all shards at once, as a power cut does, and waits until they have ended.
func (f *fleet) stop() {
	var wg sync.WaitGroup
	for _, s := range f.all() {
		if s != nil {
			wg.Go(s.die)
		}
	}
	wg.Wait()
}

// close kills all shards for good.
func (f *fleet) close() {
	f.stop()
	f.booting.Wait()
	f.stop() // what has booted meanwhile
}

// restart kills all shards and boots them again, as after a power cut, and returns how long it took
// until all were registered.
func (f *fleet) restart() (time.Duration, error) {
	f.stop()
	return f.start(0)
}

// Machines of a cluster of a thousand GPUs fail every few hours. Here they fail every few seconds.

// kill has a busy shard die that is not rank 0, and boots another one in its place later. It
// reports whether there was one.
func (f *fleet) kill(rng *rand.Rand) bool {
	all := f.all()
	for _, i := range rng.Perm(len(all)) {
		s := all[i]
		s.mu.Lock()
		w := s.work
		s.mu.Unlock()
		if w == nil || w.order.Rank == 0 {
			continue
		}

		// The leader misses an attempt once: that a second rank of it has died does not show.
		first := w.name()
		first.Rank = 0
		f.mu.Lock()
		_, twice := f.killed[first]
		if !twice {
			f.killed[first] = time.Now()
		}
		f.mu.Unlock()
		if twice {
			continue
		}

		s.die()
		f.booting.Go(func() {
			pause(f.ctx, rebootTime)
			if err := f.bootOne(i, 0); err != nil {
				f.refused(err.Error())
			}
		})
		return true
	}
	return false
}

// noticed is called when the leader stops a rank: where another one died, that is how long it took.
func (f *fleet) noticed(w wire.Work) {
	if w.Rank != 0 {
		return
	}
	f.mu.Lock()
	died, ok := f.killed[w]
	if ok && !died.IsZero() {
		f.killed[w] = time.Time{}
	}
	f.mu.Unlock()
	if ok && !died.IsZero() {
		f.note(kindNoticed, time.Since(died), nil)
	}
}

// meet returns where the ranks of a plan meet; the last one to part takes it away.
func (f *fleet) meet(p job.Plan) *attempt {
	key := wire.Work{Job: p.Job, Attempt: p.Attempt}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.attempts[key]
	if a == nil {
		a = &attempt{want: len(p.Nodes), ready: make(chan struct{}), done: make(chan struct{})}
		f.attempts[key] = a
	}
	return a
}

// part is the opposite of meet.
func (f *fleet) part(p job.Plan) {
	key := wire.Work{Job: p.Job, Attempt: p.Attempt}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parted[key]++; f.parted[key] == len(p.Nodes) {
		delete(f.attempts, key)
		delete(f.parted, key)
	}
}

// What takes a client's request to a shard is timed at both ends, in one process with one clock.

// ordered is called when rank 0 of a job's first attempt has its order; submitted when the client
// knows the id of a job that it asked for at a time. Either may be first.
func (f *fleet) ordered(id job.ID) {
	f.mu.Lock()
	sent, ok := f.asked[id]
	if ok {
		delete(f.asked, id)
	} else {
		f.early[id] = time.Now()
	}
	f.mu.Unlock()
	if ok {
		f.note(kindOrdered, time.Since(sent), nil)
	}
}

func (f *fleet) submitted(id job.ID, sent time.Time) {
	f.mu.Lock()
	at, ok := f.early[id]
	if ok {
		delete(f.early, id)
	} else {
		f.asked[id] = sent
	}
	f.mu.Unlock()
	if ok {
		f.note(kindOrdered, at.Sub(sent), nil)
	}
}

// refused notes why a shard was not taken.
func (f *fleet) refused(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if why != "" && len(f.why) < reasonsKept {
		f.why[why]++
	}
}

// rebootTime is after how long a machine whose shard has died has another one: later than the
// leader has noticed.
const rebootTime = 8 * time.Second

// reasonsKept bounds how many different refusals are told; more would say the same.
const reasonsKept = 16

// reasons are those that refused has heard.
func (f *fleet) reasons() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for why, n := range f.why {
		out = append(out, fmt.Sprintf("%s (%d times)", why, n))
	}
	return strings.Join(out, "; ")
}
