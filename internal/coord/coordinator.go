package coord

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/disk"
	"github.com/longtake/longtake/internal/job"
)

// Coordinator is one member of the control plane. It implements Service.
type Coordinator struct {
	cfg    Config
	log    *slog.Logger
	broker *broker
	cons   *consensus
	decide func(command) (outcome, error) // through Raft
	// confirm asks a majority whether this coordinator still leads: one that does not may not know
	// of attempts that are live.
	confirm func() bool
	random  func([]byte)
	// outboxOf is how a leader reaches nodes.
	outboxOf func(*leader) outbox
	fsm      *fsm
	space    *space
	hub      *hub
	metrics  *metrics
	kick     chan struct{} // asks the leader to look at the queue
	lead     atomic.Pointer[leader]
	owners   sync.Mutex // held while objects are deleted, and while they are given to jobs
	objects  atomic.Pointer[artifact.Store]
	harm     harm
	ended    chan struct{} // closed when this coordinator cannot go on
	failure  error         // why; set before
	failing  sync.Once

	restoring sync.Mutex // held while a snapshot is read, which may be large
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

var _ Service = (*Coordinator)(nil)

// Start starts a coordinator. One that is alone leads when Start returns; of several, one will lead
// once a majority is up. ctx bounds the start only. The caller closes it.
func Start(ctx context.Context, cfg Config) (_ *Coordinator, err error) {
	cfg.fill()
	if err := cfg.check(); err != nil {
		return nil, &ConfigError{err}
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Coordinator{cfg: cfg, log: cfg.Log, kick: make(chan struct{}, 1), cancel: cancel,
		ended:  make(chan struct{}),
		random: randomBytes, outboxOf: func(l *leader) outbox { return natsOutbox{l} }}
	c.hub = &hub{view: c.view, watchers: map[job.ID][]*watcher{}}
	c.fsm = &fsm{state: newState(), changed: c.changed, stop: c.fail}
	c.metrics = newMetrics(c)
	if err := c.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start coordinator %s: %w", cfg.ID, err), c.Close())
	}
	c.wg.Go(func() { c.openObjects(run) })
	c.wg.Go(func() { c.run(run) })
	c.wg.Go(func() { c.watchSpace(run) })
	if err := c.awaitStart(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start coordinator %s: %w", cfg.ID, err), c.Close())
	}
	return c, nil
}

// open opens the log, which locks the data directory, then NATS, then Raft.
func (c *Coordinator) open(ctx context.Context) error {
	if err := os.MkdirAll(c.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("cannot make the data directory: %w", err)
	}
	c.space = newSpace(c.cfg)
	store, err := openLog(c.cfg.Data)
	if disk.IsFull(err) {
		if err = c.space.await(ctx); err == nil {
			store, err = openLog(c.cfg.Data)
		}
	}
	if err != nil {
		return err
	}
	if err = dropLeftovers(natsDir(c.cfg)); err == nil {
		c.space.look()
		err = c.space.await(ctx)
	}
	if err != nil {
		return errors.Join(err, store.Close())
	}
	store.fatal = c.fail
	if c.broker, err = openBroker(c.cfg); err != nil {
		return errors.Join(err, store.Close())
	}
	if c.cons, err = openRaft(c.cfg, store, c.fsm, c.space); err == nil {
		c.decide = c.cons.do
		c.confirm = func() bool { return c.cons.verify() == nil }
	}
	return err
}

// awaitStart waits until a coordinator that is alone serves.
func (c *Coordinator) awaitStart(ctx context.Context) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for c.cfg.alone() && c.Ready(ctx) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", c.Ready(ctx), ctx.Err())
		case <-poll.C:
		}
	}
	return nil
}

// Close stops everything and waits. Shards that work on a job go on, for a coordinator that starts
// again on the same data.
func (c *Coordinator) Close() error {
	c.cancel()
	c.wg.Wait()
	c.hub.closeAll()
	var err error
	if c.cons != nil {
		err = c.cons.close()
	}
	if c.broker != nil {
		c.broker.close()
	}
	if err != nil {
		return fmt.Errorf("cannot close coordinator %s: %w", c.cfg.ID, err)
	}
	return nil
}

// NATS returns the option for nats.Connect to reach the embedded server in the process.
func (c *Coordinator) NATS() nats.Option { return nats.InProcessServer(c.broker.Server) }

// ClientURL returns what shards dial, or "" if the server takes in-process clients only.
func (c *Coordinator) ClientURL() string { return c.broker.ClientURL() }

// Ended is closed when the coordinator cannot go on; Err then says why.
func (c *Coordinator) Ended() <-chan struct{} { return c.ended }

// Err returns why the coordinator has ended by itself: one line that says what can be done.
func (c *Coordinator) Err() error {
	select {
	case <-c.ended:
		return c.failure
	default:
		return nil
	}
}

// fail ends the coordinator's part in the cluster. Raft's goroutines call it.
func (c *Coordinator) fail(err error) {
	c.failing.Do(func() {
		c.failure = fmt.Errorf("coordinator %s stops: %w", c.cfg.ID, &broken{c.cfg.Data, err})
		close(c.ended)
	})
}

// run follows Raft's leadership and does the leader's periodic work, in one goroutine.
func (c *Coordinator) run(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Timing.Tick)
	defer tick.Stop()
	defer c.resign()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ended:
			c.cons.raft.Shutdown() // Close waits for it
			return
		case <-c.cons.raft.LeaderCh():
			c.resign()
			c.takeOffice(ctx)
		case <-c.kick:
			if l := c.lead.Load(); l != nil {
				l.schedule()
			}
		case <-tick.C:
			c.takeOffice(ctx)
			if l := c.lead.Load(); l != nil {
				l.tick()
			}
		}
	}
}

// takeOffice makes this coordinator act as the leader, if Raft says so and it does not yet.
func (c *Coordinator) takeOffice(ctx context.Context) {
	if c.lead.Load() != nil || c.cons.raft.State() != raft.Leader {
		return
	}
	if err := c.cons.raft.Barrier(c.cfg.Timing.Apply).Error(); err != nil {
		c.log.Warn("cannot lead yet", "error", err)
		return
	}
	l := newLeader(ctx, c)
	if err := l.listen(); err != nil {
		l.close()
		c.log.Warn("cannot lead yet", "error", err)
		return
	}
	c.log.Info("leading", "id", c.cfg.ID)
	c.lead.Store(l)
	l.schedule()
}

// resign ends the leader's work, if it leads.
func (c *Coordinator) resign() {
	if l := c.lead.Swap(nil); l != nil {
		l.close()
		c.hub.closeAll()
	}
}

// wake asks the leader to look at the queue soon.
func (c *Coordinator) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// changed hears of every applied command, on Raft's goroutine.
func (c *Coordinator) changed(id job.ID) {
	c.wake()
	if id != "" {
		c.hub.notify(id)
	}
}

// leader returns the leader's memory, or a *NotLeaderError.
func (c *Coordinator) leader() (*leader, error) {
	if l := c.lead.Load(); l != nil {
		return l, nil
	}
	return nil, c.notLeader()
}

func (c *Coordinator) notLeader() error {
	if c.cons == nil {
		return ErrNotLeader
	}
	_, id := c.cons.raft.LeaderWithID()
	e := &NotLeaderError{ID: string(id)}
	if e.ID == c.cfg.ID {
		e.ID = "" // elected, but not in office yet
	}
	e.HTTP = c.addresses()[e.ID]
	return e
}

// commit puts a command through Raft, with the time. The error is the command's own, or a
// *NotLeaderError.
func (c *Coordinator) commit(cmd command) (job.Record, error) {
	cmd.Now = c.cfg.Now().UTC().Round(0)
	start := time.Now()
	out, err := c.decide(cmd)
	c.metrics.commit.Observe(time.Since(start).Seconds())
	if errors.Is(err, ErrNotLeader) && c.cons != nil {
		return job.Record{}, c.notLeader()
	}
	if err != nil {
		return job.Record{}, err
	}
	return out.record, out.err
}
