package shard

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

const (
	requestTime = 2 * time.Second        // for an answer of the leader
	retryPause  = 250 * time.Millisecond // before a request is repeated
)

// Shard is a running node. Its methods may be called from any goroutine.
type Shard struct {
	// Set by Start, and only read afterwards.
	cfg        Config
	id         job.NodeID
	started    time.Time
	models     []*served
	loraPaths  map[string]string // of registered LoRAs, by SHA-256
	unopened   []string          // why other models are not among them, a line each
	dev        device
	decodeDev  device  // for the VAE; may be dev
	ratedSpeed float64 // operations a second, as measured at the start
	link       *link
	nc         *control // to the coordinators
	log        *slog.Logger

	ctx            context.Context // ends with the shard
	stop           context.CancelFunc
	wg             sync.WaitGroup
	registered     chan struct{} // closed after the first registration
	registeredOnce sync.Once
	beatDue        chan struct{} // of one: a heartbeat is due at once
	registerAgain  atomic.Bool   // its models have changed

	shelf shelf
	// memory is how many bytes a clip may take, and capacity how many with the weights; 0: not known.
	memory, capacity atomic.Int64

	leaving    atomic.Bool // it takes no new work
	hung       atomic.Bool // a rank does not return
	storeFull  atomic.Bool // the object store takes no checkpoints and parts, says the leader
	storeStuck atomic.Bool // nor finished clips

	remote    *artifact.Remote // objects and cache of a locked cluster; else what follows
	store     artifact.Store   // once it is needed; of the goroutine of the rank at work
	stepCache engine.StepCache
	cache     artifact.Cache // the cluster's, as store
	speed     meanSpeed
	meter     meter
	links     links

	mu   sync.Mutex
	work *work           // nil when idle
	last wire.StartOrder // the latest order that was accepted
	err  error           // why the node ended by itself
}

// Start loads the first model, connects, and begins to register. It does not wait for a coordinator
// to answer; Registered does. A model that cannot be loaded is a *ModelError. The caller closes the
// shard, whose life ctx does not bound.
func Start(ctx context.Context, cfg Config) (*Shard, error) {
	s := &Shard{cfg: cfg, log: cfg.Log, started: time.Now(), id: newNodeID(identityOf(cfg.Identity)),
		registered: make(chan struct{}), beatDue: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.cfg.Data.identity = cfg.Identity
	if s.cfg.Texts == nil {
		s.cfg.Texts = &engine.TextCache{}
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	cfg.Process.enter(s.id)

	for _, step := range []func() error{s.load, s.connect, s.listen} {
		if err := step(); err != nil {
			s.Close()
			return nil, fmt.Errorf("cannot start shard %s: %w", cfg.Name, err)
		}
	}
	s.wg.Go(s.live)
	return s, nil
}

// load opens the model and loads it.
func (s *Shard) load() error {
	if err := s.openModel(); err != nil {
		return &ModelError{err}
	}
	return nil
}

// openModel opens all models and the devices, and loads the first model. The files of that are read
// once: the engine loads their weights while the survey sums them for the fingerprint.
func (s *Shard) openModel() (err error) {
	if err := cmp.Or(s.openModels(), s.openLoRAs()); err != nil {
		return err
	}
	if s.dev, s.decodeDev, err = openDevices(s.cfg, s.log); err != nil {
		return err
	}
	dtype, err := s.settleTypes()
	if err != nil {
		return err
	}
	if s.cfg.Weights == nil {
		s.cfg.Weights = NewPool(len(s.models), s.dev.Threads() == 0)
	}

	// At the same time, so that the pages of the first model's files are in memory for both.
	var wg sync.WaitGroup
	wg.Go(func() { err = s.surveyAll() })
	failed := s.use(s.ctx, s.models[0], dtype)
	wg.Wait()
	if failed != nil || err != nil {
		return cmp.Or(failed, err)
	}
	s.ratedSpeed = rate(s.dev, s.shelf.engine.FeedForward())
	return nil
}

// loadEngine loads a model's weights, as far as the pool has not got them, and measures the memory
// that they leave.
func (s *Shard) loadEngine(ctx context.Context, m *served, t compute.DType) (err error) {
	if s.cfg.onLoad != nil {
		if err := s.cfg.onLoad(ctx, m.info.Name); err != nil {
			return err
		}
	}
	e, err := engine.NewIn(ctx, s.cfg.Weights, m.folder,
		engine.Devices{Main: s.dev, Decode: s.decodeDev}, t, s.engineOptions())
	if err == nil {
		s.shelf.engine = e
	}

	// Before the memory is measured, since a program collects garbage there.
	if s.cfg.AfterLoad != nil {
		s.cfg.AfterLoad()
	}
	if s.cfg.ReleaseMemory != nil {
		s.cfg.ReleaseMemory()
	}
	if s.dev.Threads() > 0 { // a GPU says itself what fits
		s.measureMemory(m, t)
	}
	return err
}

// measureMemory finds out what a clip may take beside the weights that are loaded, and what with
// them: those of the model, and of others that go where a clip needs the room.
func (s *Shard) measureMemory(m *served, t compute.DType) {
	left := memoryLeft(s.cfg.Sharers)
	s.memory.Store(left)
	if left > 0 {
		idle := s.cfg.Weights.Idle() / int64(max(1, s.cfg.Sharers))
		s.capacity.Store(left + idle + m.info.Cost.Memory.Weights[t.String()])
	}
}

// engineOptions says where the text encoder and the transformers of a model with two are to be.
func (s *Shard) engineOptions() engine.Options {
	o := engine.Options{Experts: s.cfg.Experts, TextEncoder: s.cfg.TextEncoder, Log: s.log}
	if s.dev.Threads() > 0 { // a GPU says itself what fits
		o.Memory = func() int64 { return memoryLeft(1) }
	}
	return o
}

// connect opens both planes. The control plane may be down: the client keeps trying.
func (s *Shard) connect() (err error) {
	if s.link, err = s.cfg.Data.open(string(s.id), s.log); err != nil {
		return err
	}

	if s.nc, err = openControl(s.cfg, s.log); err != nil {
		return err
	}
	if name := s.nc.identity; name != "" {
		s.remote = artifact.NewRemote(s.nc.Conn,
			func(op string) string { return wire.SubjectObject(op, name) })
	}
	return nil
}

// listen subscribes to orders. Each subject has a goroutine of the NATS client.
func (s *Shard) listen() error {
	for subject, f := range map[string]natsio.MsgHandler{
		wire.SubjectStart(s.nc.identity, s.id): s.onStart,
		wire.SubjectStop(s.nc.identity, s.id):  s.onStop,
		wire.SubjectProbe(s.nc.identity, s.id): s.onProbe,
		wire.SubjectRoutes:                     s.onRoutes,
	} {
		if _, err := s.nc.Subscribe(subject, f); err != nil {
			return fmt.Errorf("cannot listen for orders: %w", err)
		}
	}
	return nil
}

// ID returns the node's id, which is new with every start.
func (s *Shard) ID() job.NodeID { return s.id }

// Name returns the name that people see.
func (s *Shard) Name() string { return s.cfg.Name }

// Models returns what the shard registers of its models.
func (s *Shard) Models() job.Models { return s.usable() }

// Registered waits until a coordinator has accepted the node. It fails when one refused it for
// good, or ctx ends.
func (s *Shard) Registered(ctx context.Context) error {
	select {
	case <-s.registered:
		return nil
	case <-s.ctx.Done():
		return s.Err()
	case <-ctx.Done():
		return fmt.Errorf("shard %s is not registered: %w", s.cfg.Name, ctx.Err())
	}
}

// Done is closed when the shard has ended: by Close, because it was refused for good, or because a
// rank hangs.
func (s *Shard) Done() <-chan struct{} { return s.ctx.Done() }

// Err returns why the shard ended by itself, nil otherwise.
func (s *Shard) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// current returns the rank at work, nil when the node is idle.
func (s *Shard) current() *work {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.work
}

// objects opens the coordinators' object store, once it is needed: no coordinator may have been
// there when the shard started. In a locked cluster it asks the coordinators for objects.
func (s *Shard) objects(ctx context.Context) (artifact.Store, error) {
	if s.cfg.Identity != nil {
		return s.remote, nil
	}
	if s.store != nil {
		return s.store, nil
	}
	store, err := artifact.Bind(ctx, s.nc.Conn, wire.Bucket)
	if err == nil {
		s.store = store
	}
	return store, err
}

// texts is where ranks keep the embeddings of texts. Without the cluster's cache they do without:
// the shard looks for it again with the next job. With ForgetTexts it is nowhere.
func (s *Shard) texts(ctx context.Context, m *served) engine.Texts {
	if s.cfg.ForgetTexts {
		return engine.Texts{} // without a scope, nothing is kept and nothing is found
	}
	t := engine.Texts{Memory: s.cfg.Texts,
		Scope: m.info.Fingerprint + " " + s.dev.Arithmetic()}
	if s.cfg.Identity != nil {
		t.Cluster = s.remote.Cache
		return t
	}

	if s.cache == nil {
		cache, err := artifact.BindCache(ctx, s.nc.Conn, wire.Cache)
		if err != nil {
			s.log.Info("texts are not kept for other shards", "error", err)
			return t
		}
		s.cache = cache
	}
	t.Cluster = func(string) artifact.Cache { return s.cache }
	return t
}
