package shard

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/pool"
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
	info       job.Model // what the node registers of its model
	folder     *model.Folder
	dev        device
	decodeDev  device // for the VAE; may be dev
	engine     *engine.Engine
	damage     error   // weights that are not finite, which make every job fail
	ratedSpeed float64 // operations a second, as measured at the start
	memory     int64   // bytes that a clip may take; 0: not known
	link       *link
	nc         *natsio.Conn // to the coordinators
	log        *slog.Logger

	ctx            context.Context // ends with the shard
	stop           context.CancelFunc
	wg             sync.WaitGroup
	registered     chan struct{} // closed after the first registration
	registeredOnce sync.Once
	beatDue        chan struct{} // of one: a heartbeat is due at once

	leaving    atomic.Bool // it takes no new work
	hung       atomic.Bool // a rank does not return
	storeFull  atomic.Bool // the object store takes no checkpoints and parts, says the leader
	storeStuck atomic.Bool // nor finished clips

	store     artifact.Store // once it is needed; of the goroutine of the rank at work
	stepCache engine.StepCache
	cache     artifact.Cache // the cluster's, as store
	speed     meanSpeed

	mu   sync.Mutex
	work *work           // nil when idle
	last wire.StartOrder // the latest order that was accepted
	err  error           // why the node ended by itself
}

// Start loads the model, connects, and begins to register. It does not wait for a coordinator to
// answer; Registered does. A model that cannot be loaded is a *ModelError. The caller closes the
// shard, whose life ctx does not bound.
func Start(ctx context.Context, cfg Config) (*Shard, error) {
	s := &Shard{cfg: cfg, id: job.NodeID("node_" + rand.Text()), log: cfg.Log, started: time.Now(),
		registered: make(chan struct{}), beatDue: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Weights == nil {
		s.cfg.Weights = new(pool.Pool)
	}
	if s.cfg.Texts == nil {
		s.cfg.Texts = &engine.TextCache{}
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	cfg.process.enter(s.id)

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

// openModel reads the model's files once: the engine loads their weights while the survey sums them
// for the fingerprint and looks for numbers that are not finite.
func (s *Shard) openModel() (err error) {
	if s.folder, err = OpenModel(s.cfg.Model); err != nil {
		return err
	}
	if s.info, err = engine.Describe(s.folder); err != nil {
		return err
	}

	// At the same time, so that the pages of the files are in memory for both.
	var survey model.Survey
	var wg sync.WaitGroup
	wg.Go(func() { survey, err = s.folder.Survey(s.cfg.Cache) })
	failed := s.openEngine()
	wg.Wait()
	if failed != nil || err != nil {
		return cmp.Or(failed, err)
	}

	s.info.Fingerprint = job.FingerprintKind + survey.Fingerprint
	if survey.Damage != nil {
		s.damage, s.info.Damage = survey.Damage, survey.Damage.Error()
		s.log.Error("every job will fail", "reason", s.damage)
	}
	return nil
}

// openEngine loads the weights, and measures the device and the memory that they leave.
func (s *Shard) openEngine() (err error) {
	if s.dev, s.decodeDev, err = openDevices(s.cfg, s.log); err != nil {
		return err
	}
	s.engine, err = engine.NewIn(s.cfg.Weights, s.folder,
		engine.Devices{Main: s.dev, Decode: s.decodeDev}, s.cfg.DType, s.engineOptions())

	// Before the memory is measured, since a program collects garbage there.
	if s.cfg.AfterLoad != nil {
		s.cfg.AfterLoad()
	}
	if err == nil {
		s.ratedSpeed = rate(s.dev, s.engine.FeedForward())
	}
	if s.dev.Threads() > 0 { // a GPU says itself what fits
		s.memory = memoryLeft(s.cfg.Sharers)
	}
	return err
}

// engineOptions says where the transformers of a model with two are to be.
func (s *Shard) engineOptions() engine.Options {
	o := engine.Options{Experts: s.cfg.Experts, Log: s.log}
	if s.dev.Threads() > 0 { // a GPU says itself what fits
		o.Memory = func() int64 { return memoryLeft(1) }
	}
	return o
}

// connect opens both planes. The control plane may be down: the client keeps trying.
func (s *Shard) connect() (err error) {
	if s.link, err = s.cfg.Data.open(string(s.id)); err != nil {
		return err
	}

	// Coordinators may be gone for any time, so the client never gives up. Errors of a subscription,
	// such as a slow consumer, show as requests without an answer, which are repeated.
	opts := []natsio.Option{natsio.Name(s.cfg.Name), natsio.MaxReconnects(-1),
		natsio.ReconnectWait(retryPause), natsio.RetryOnFailedConnect(true),
		natsio.ErrorHandler(func(*natsio.Conn, *natsio.Subscription, error) {}),
	}
	if s.cfg.ControlOptions != nil {
		more, err := s.cfg.ControlOptions()
		if err != nil {
			return err
		}
		opts = append(opts, more...)
	}
	if s.nc, err = natsio.Connect(s.cfg.Control, opts...); err != nil {
		return fmt.Errorf("cannot reach the coordinators that control names: %w", err)
	}
	return nil
}

// listen subscribes to orders. Each subject has a goroutine of the NATS client.
func (s *Shard) listen() error {
	for subject, f := range map[string]natsio.MsgHandler{
		wire.SubjectStart(s.id): s.onStart,
		wire.SubjectStop(s.id):  s.onStop,
		wire.SubjectRoutes:      s.onRoutes,
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

// Model returns what the shard registers of its model.
func (s *Shard) Model() job.Model { return s.info }

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
// there when the shard started.
func (s *Shard) objects(ctx context.Context) (artifact.Store, error) {
	if s.store != nil {
		return s.store, nil
	}
	store, err := artifact.Bind(ctx, s.nc, wire.Bucket)
	if err == nil {
		s.store = store
	}
	return store, err
}

// texts is where ranks keep the embeddings of texts. Without the cluster's cache they do without:
// the shard looks for it again with the next job.
func (s *Shard) texts(ctx context.Context) engine.Texts {
	t := engine.Texts{Memory: s.cfg.Texts,
		Scope: s.info.Fingerprint + " " + s.dev.Arithmetic()}
	if s.cache == nil {
		cache, err := artifact.BindCache(ctx, s.nc, wire.Cache)
		if err != nil {
			s.log.Info("texts are not kept for other shards", "error", err)
			return t
		}
		s.cache = cache
	}
	t.Cluster = s.cache
	return t
}
