package shard

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/wire"
)

const (
	requestTime = 2 * time.Second // for an answer of the leader
	drainPoll   = 50 * time.Millisecond
	retryPause  = 250 * time.Millisecond // before a request is repeated
)

// Shard is a running node.
type Shard struct {
	cfg     Config
	id      job.NodeID
	started time.Time
	info    job.Model
	folder  *model.Folder
	dev     device
	decode  device // for the VAE; may be dev
	engine  *engine.Engine
	damage  error // what makes every job fail: weights that are not finite
	link    *link
	nc      *natsio.Conn
	store   artifact.Store
	log     *slog.Logger

	ctx        context.Context
	stop       context.CancelFunc
	wg         sync.WaitGroup
	registered chan struct{} // closed after the first registration
	once       sync.Once
	beat       chan struct{} // a heartbeat is due at once
	leaving    atomic.Bool   // no new work
	hung       atomic.Bool   // a rank does not return
	full       atomic.Bool   // the object store takes no checkpoints
	stuck      atomic.Bool   // nor finished clips
	steps      engine.StepCache
	speed      speed
	rated      float64 // operations a second, as measured at the start
	room       int64   // bytes that a clip may take; 0: not known

	mu   sync.Mutex
	work *work           // nil when idle
	last wire.StartOrder // the latest order taken; one that comes twice is not carried out again
	err  error           // why the node ended by itself
}

// Start loads the model, connects, and begins to register; it does not wait for a coordinator to
// answer (Registered does). Close ends the shard.
func Start(ctx context.Context, cfg Config) (*Shard, error) {
	s := &Shard{cfg: cfg, id: job.NodeID("node_" + rand.Text()), log: cfg.Log, started: time.Now(),
		registered: make(chan struct{}), beat: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
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

func (s *Shard) load() error {
	if err := s.open(); err != nil {
		return &ModelError{err}
	}
	return nil
}

func (s *Shard) open() (err error) {
	if s.folder, err = OpenModel(s.cfg.Model); err != nil {
		return err
	}
	if s.info, err = engine.Describe(s.folder); err != nil {
		return err
	}
	var sum model.Survey
	var wg sync.WaitGroup
	wg.Go(func() { sum, err = s.folder.Survey(s.cfg.Cache) }) // the same bytes, at the same time
	failed := s.openEngine()
	wg.Wait()
	if failed != nil || err != nil {
		return cmp.Or(failed, err)
	}
	s.info.Fingerprint = job.FingerprintKind + sum.Fingerprint
	if sum.Damage != nil {
		s.damage, s.info.Damage = sum.Damage, sum.Damage.Error()
		s.log.Error("every job will fail", "reason", s.damage)
	}
	return nil
}

func (s *Shard) openEngine() (err error) {
	if s.dev, s.decode, err = openDevices(s.cfg, s.log); err != nil {
		return err
	}
	s.engine, err = engine.New(s.folder, engine.Devices{Main: s.dev, Decode: s.decode}, s.cfg.DType)
	if s.cfg.AfterLoad != nil {
		s.cfg.AfterLoad()
	}
	if err == nil {
		s.rated = rate(s.dev, s.engine.FeedForward())
	}
	if s.dev.Threads() > 0 { // a GPU says itself what fits
		s.room = room(s.cfg.Sharers)
	}
	return err
}

// connect opens both planes. The control plane may be down: the client keeps trying.
func (s *Shard) connect() (err error) {
	if s.link, err = s.cfg.Data.open(string(s.id)); err != nil {
		return err
	}
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

// listen takes orders.
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

// ID returns the node's id, new with every start.
func (s *Shard) ID() job.NodeID { return s.id }

// Name returns the name that people see.
func (s *Shard) Name() string { return s.cfg.Name }

// Model returns what the shard registers of its model.
func (s *Shard) Model() job.Model { return s.info }

// Registered waits until a coordinator has accepted the node; it fails when one refused it for
// good or ctx ends.
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

// Done is closed when the shard has ended, by Close or because it was refused for good.
func (s *Shard) Done() <-chan struct{} { return s.ctx.Done() }

// Err returns why the shard ended by itself, nil otherwise.
func (s *Shard) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// fail ends the shard and says why.
func (s *Shard) fail(err error) {
	s.log.Error("the shard ends", "shard", s.cfg.Name, "node", s.id, "reason", err)
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	s.stop()
}

// Drain hands the work at hand over to other shards, at a step boundary, and takes no new one. It
// returns when the shard is idle, or an error when ctx ends before. The coordinators move the work
// on without a boundary when `within` is over.
func (s *Shard) Drain(ctx context.Context, within time.Duration) error {
	s.leaving.Store(true)
	told := false
	for {
		if !told {
			a, err := ask[wire.Ack](ctx, s.nc, wire.SubjectLeave, wire.Leave{Node: s.id, Within: within})
			told = err == nil && a.OK
		}
		if s.current() == nil {
			return nil
		}
		select {
		case <-time.After(drainPoll):
		case <-s.ctx.Done():
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("shard %s is not drained: %w", s.cfg.Name, ctx.Err())
		}
	}
}

// Close says goodbye, ends the rank at work and frees everything. Where a rank hangs, what it uses
// is freed by the end of the process alone.
func (s *Shard) Close() error {
	if s.nc != nil && s.nc.IsConnected() && s.Err() == nil {
		s.nc.Request(wire.SubjectGoodbye, wire.Encode(wire.Goodbye{Node: s.id}), requestTime)
	}
	s.stop()
	if w := s.current(); w != nil {
		w.cancel(errors.New("the shard is stopping"))
	}
	ended := s.wait()
	s.cfg.process.leave(s.id)
	if s.nc != nil {
		s.nc.Close()
	}
	if s.link != nil {
		s.link.close()
	}
	if !ended {
		return nil
	}
	if s.decode != nil {
		s.decode.Close()
	}
	if s.dev != nil {
		s.dev.Close()
	}
	if s.folder != nil {
		return s.folder.Close()
	}
	return nil
}

// wait waits for the shard's goroutines, not for long where a rank hangs, and reports whether they
// have ended.
func (s *Shard) wait() bool {
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	if !s.hung.Load() {
		<-ended
		return true
	}
	select {
	case <-ended:
		return true
	case <-time.After(hungPatience):
		return false
	}
}

// hungPatience is how long Close waits for a rank that hangs.
const hungPatience = 2 * time.Second

func (s *Shard) current() *work {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.work
}

// objects opens the coordinators' object store, once it is needed.
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

// tempDir returns a folder of the shard's own for a clip being encoded.
func (s *Shard) tempDir() (string, error) { return os.MkdirTemp(s.cfg.TempDir, "longtake-") }
