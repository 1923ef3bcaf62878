package coord

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func demo() job.Model {
	return job.Model{Name: "demo", Fingerprint: "f1", Heads: 6, HeadDim: 32, Layers: 8,
		Patch: [3]int{1, 2, 2}, LatentChannels: 16, TemporalScale: 4, SpatialScale: 8,
		Defaults: job.Defaults{Width: 96, Height: 64, Frames: 33, Steps: 4, FPS: 16,
			GuidanceScale: 4, FlowShift: 3, Scheduler: "unipc"}}
}

// quick makes the control plane fast, but patient enough for a loaded machine.
func quick() Timing {
	return Timing{Heartbeat: 10 * time.Millisecond, LostAfter: 400 * time.Millisecond,
		Grace: 600 * time.Millisecond, Tick: 10 * time.Millisecond, Order: 2 * time.Second,
		Apply: 5 * time.Second}
}

func testConfig(dir string) Config { return Config{Data: dir, Timing: quick()} }

func start(t *testing.T, cfg Config) *Coordinator {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, c) })
	return c
}

// closed closes c; a second time does nothing.
func closed(t *testing.T, c *Coordinator) {
	t.Helper()
	if c.broker.conn.IsClosed() {
		return
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// shardFake is a node that speaks wire and does what the test tells it.
type shardFake struct {
	t    *testing.T
	id   job.NodeID
	reg  wire.Registration
	conn *nats.Conn
	// identity is the name in its certificate, which options show; "": the cluster is open.
	identity string
	options  []nats.Option
	starts   chan wire.StartOrder
	stops    chan wire.Stop
	quit     chan struct{}
	once     sync.Once
	wg       sync.WaitGroup

	mu     sync.Mutex
	work   wire.Work
	refuse string // start orders, for this reason
	hangs  bool   // it does not stop
	pulses map[string]int
}

func fake(t *testing.T, c *Coordinator, id string, edit ...func(*wire.Registration)) *shardFake {
	t.Helper()
	f := newFake(t, id, edit...)
	f.join(c)
	if w := f.register(); !w.Accepted {
		t.Fatalf("node %s: %+v", id, w)
	}
	return f
}

func newFake(t *testing.T, id string, edit ...func(*wire.Registration)) *shardFake {
	f := &shardFake{t: t, id: job.NodeID(id), starts: make(chan wire.StartOrder, 16),
		stops: make(chan wire.Stop, 16), pulses: map[string]int{}}
	f.reg = wire.Registration{Node: f.id, Name: "name-" + id, Model: demo(), Device: "fake",
		Threads: 1, Route: "nats-route://" + id + ":1"}
	for _, e := range edit {
		e(&f.reg)
	}
	return f
}

// join connects to a coordinator, listens for orders and beats until leave.
func (f *shardFake) join(c *Coordinator) {
	f.t.Helper()
	options := f.options
	if options == nil {
		options = []nats.Option{c.NATS()}
	}
	if f.identity != "" {
		options = append(options, nats.CustomInboxPrefix(wire.Inbox(f.identity)))
	}
	nc, err := nats.Connect(c.ClientURL(), append(options, nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond))...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.conn, f.quit, f.once = nc, make(chan struct{}), sync.Once{}
	f.listen(wire.SubjectStart(f.identity, f.id), f.onStart)
	f.listen(wire.SubjectStop(f.identity, f.id), f.onStop)
	f.wg.Go(f.beat)
	f.t.Cleanup(f.leave)
}

func (f *shardFake) listen(subject string, do func([]byte) wire.Ack) {
	_, err := f.conn.Subscribe(subject, func(m *nats.Msg) {
		m.Respond(wire.Encode(do(m.Data))) //nolint:errcheck // the test sees what is missing
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *shardFake) onStart(data []byte) wire.Ack {
	s, err := wire.Decode[wire.StartOrder](data)
	if err != nil {
		return wire.Ack{Reason: err.Error()}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != "" {
		return wire.Ack{Reason: f.refuse}
	}
	f.work = wire.Work{Job: s.Plan.Job, Attempt: s.Plan.Attempt, Rank: s.Rank}
	f.starts <- s
	return wire.Ack{OK: true}
}

func (f *shardFake) onStop(data []byte) wire.Ack {
	s, err := wire.Decode[wire.Stop](data)
	if err != nil {
		return wire.Ack{Reason: err.Error()}
	}
	if !s.Cancel && !f.hangs {
		f.over(s.Attempt)
	}
	f.stops <- s
	return wire.Ack{OK: true}
}

// over forgets the work of an attempt, unless the order of a later one has come already.
func (f *shardFake) over(a job.Attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.work.Attempt == a {
		f.work = wire.Work{}
	}
}

func (f *shardFake) beat() {
	for {
		select {
		case <-f.quit:
			return
		case <-time.After(10 * time.Millisecond):
		}
		f.pulse()
	}
}

// pulse sends a heartbeat and obeys the answer. No order is taken meanwhile: a heartbeat that says
// idle never comes after the acknowledgement of an order.
func (f *shardFake) pulse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := wire.Heartbeat{Node: f.id, State: wire.Idle, Work: f.work}
	if f.work != (wire.Work{}) {
		h.State = wire.Busy
	}
	p, err := ask[wire.Pulse](f, wire.SubjectHeartbeat, h)
	if err != nil {
		return
	}

	switch {
	case p.Register:
		f.pulses["register"]++
		f.tell()
	case p.Stop && !f.hangs:
		f.pulses["stop"]++
		f.work = wire.Work{}
	case p.Cancel:
		f.pulses["cancel"]++
	}
}

func (f *shardFake) register() wire.Welcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tell()
}

// tell registers; with the lock, as pulse does.
func (f *shardFake) tell() wire.Welcome {
	r := f.reg
	r.Work = f.work
	w, err := ask[wire.Welcome](f, wire.SubjectRegister, r)
	if err != nil {
		return wire.Welcome{Reason: err.Error()}
	}
	return w
}

func ask[A any](f *shardFake, subject string, m any) (A, error) {
	r, err := f.conn.Request(wire.Said(subject, f.identity), wire.Encode(m), 2*time.Second)
	if err != nil {
		var none A
		return none, err
	}
	return wire.Decode[A](r.Data)
}

// leave falls silent, as a killed process does.
func (f *shardFake) leave() {
	f.once.Do(func() {
		close(f.quit)
		f.conn.Close()
		f.wg.Wait()
	})
}

// told returns the next start order.
func (f *shardFake) told() wire.StartOrder {
	f.t.Helper()
	return next(f.t, f.starts, "a start order for "+string(f.id))
}

func next[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// progress reports how far an attempt is, as rank 0 does.
func (f *shardFake) progress(p job.Progress) {
	f.t.Helper()
	report := wire.Report{Node: f.id, Progress: p}
	if ack, err := ask[wire.Ack](f, wire.SubjectProgress, report); err != nil || !ack.OK {
		f.t.Fatalf("progress: %+v, %v", ack, err)
	}
}

// finish stores objects and reports completion.
func (f *shardFake) finish(c *Coordinator, s wire.StartOrder) wire.Ack {
	f.t.Helper()
	done := wire.Completion{Node: f.id, Work: wire.Work{Job: s.Plan.Job, Attempt: s.Plan.Attempt},
		Result: stored(f.t, c, string(s.Plan.Job))}
	var a wire.Ack
	eventually(f.t, "a leader takes the completion", func() (ok bool) {
		var err error
		a, err = ask[wire.Ack](f, wire.SubjectComplete, done) // a shard repeats it, too
		return err == nil
	})
	f.over(s.Plan.Attempt)
	return a
}

// stored puts a video and latents into the object store.
func stored(t *testing.T, c *Coordinator, text string) job.Result {
	t.Helper()
	s, err := c.tryObjects(context.Background(), objectsTryMax)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b string) job.Object {
		o, err := s.Put(context.Background(), bytes.NewReader([]byte(b)))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	return job.Result{Video: put("video of " + text), Latents: put("latents of " + text),
		ContentType: "video/webm"}
}

func request(shards int) job.Request { return job.Request{Prompt: "a ball", Shards: shards} }

func create(t *testing.T, c *Coordinator, r job.Request) job.ID {
	t.Helper()
	rec, err := c.Create(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return rec.ID
}

// until waits for a view of the job that ok accepts.
func until(t *testing.T, c *Coordinator, id job.ID, what string, ok func(View) bool) View {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ch, err := c.Watch(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var last View
	for v := range ch {
		if last = v; ok(v) {
			return v
		}
	}
	t.Fatalf("job %s is never %s; last: %s, %q, %q", id, what, last.State, last.Error, last.Waiting)
	return last
}

func untilState(t *testing.T, c *Coordinator, id job.ID, s job.State) View {
	t.Helper()
	return until(t, c, id, string(s), func(v View) bool { return v.State == s })
}

// untilLost waits until a job has lost n attempts, and returns the last loss.
func untilLost(t *testing.T, c *Coordinator, id job.ID, n int) job.Loss {
	t.Helper()
	v := until(t, c, id, "on its way again", func(v View) bool { return len(v.Losses) >= n })
	return v.Losses[n-1]
}

// record returns a job as a coordinator has it, whether it leads or not.
func record(c *Coordinator, id job.ID) (r job.Record, ok bool) {
	c.loop.read(func() { r, ok = c.core.Machine().Record(id) })
	return r, ok
}

// cluster returns the id of the cluster.
func cluster(c *Coordinator) (id string) {
	c.loop.read(func() { id = c.core.Machine().Cluster() })
	return id
}

// snapshotText is what a coordinator would write as its snapshot.
func snapshotText(t *testing.T, c *Coordinator) string {
	t.Helper()
	s, err := look(c, c.core.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// left is how many bytes jobs that are placed next may store.
func left(c *Coordinator) (n int64) {
	c.loop.read(func() { n = c.core.RoomForPlaced() })
	return n
}
