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

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/disk"
	"github.com/longtake/longtake/internal/pki"
)

// Coordinator is one member of the control plane: a core, in a loop, with Raft, NATS and an object
// store around it. It implements Service.
type Coordinator struct {
	cfg     Config
	log     *slog.Logger
	broker  *broker
	cons    *consensus
	space   *space
	metrics *metrics
	audit   *auditor
	// refusals is what was refused; see locked.go.
	refusals *refusals
	// objects is nil until JetStream is there.
	objects atomic.Pointer[artifact.Store]
	desk    *artifact.Desk // nil: the cluster is open
	// authority is that of the machine, for handshakes, which do not wait for the loop.
	authority atomic.Pointer[core.Authority]

	// loop is the goroutine that calls the core. What follows is touched in it alone.
	loop      *loop
	core      *core.Core
	term      *term // nil: this coordinator does not lead
	hub       *hub
	promoting bool // a member is being let vote

	ended   chan struct{} // closed when this coordinator cannot go on
	failure error         // why; set before
	failing sync.Once

	restoring sync.Mutex // held while a snapshot is read, which may be large
	// committing is held, to read, while an entry is on its way, so that none is while a snapshot
	// takes the place of what they led to.
	committing sync.RWMutex
	cancel     context.CancelFunc
	wg         sync.WaitGroup
}

var _ Service = (*Coordinator)(nil)

// errClosed is why a coordinator that is closed does not answer.
var errClosed = fmt.Errorf("%w: it was closed", ErrNotReady)

// Start starts a coordinator: it reads all that it will start from, opens NATS and Raft on it, and
// waits for room on a full disk. A *ConfigError says what is wrong in cfg, and nothing was started;
// other errors say what cannot be used, and what can be done about it. One that is alone leads when
// Start returns; of several, one will lead once a majority is up. ctx bounds the start only. The
// caller closes it.
func Start(ctx context.Context, cfg Config) (_ *Coordinator, err error) {
	cfg.fill()
	if err := cfg.check(); err != nil {
		return nil, &ConfigError{err}
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Coordinator{cfg: cfg, log: cfg.Log, cancel: cancel, loop: newLoop(),
		ended: make(chan struct{})}

	c.metrics = newMetrics(c)
	c.refusals = &refusals{metrics: c.metrics, log: c.log, last: map[string]time.Time{},
		since: map[string]int{}}
	c.core = core.New(cfg.core(), world{c}, observer{c})
	c.loop.core = c.core
	c.loop.decided = func(d time.Duration) { c.metrics.decide.Observe(d.Seconds()) }
	c.hub = newHub(c.core)

	c.wg.Go(func() { // before Raft, which restores its snapshot at once
		defer close(c.loop.done)
		c.loop.run(run)
		c.resign()
		c.hub.closeAll()
	})
	if err := c.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start coordinator %s: %w", cfg.ID, err), c.Close())
	}

	c.wg.Go(func() { c.openObjects(run) })
	c.wg.Go(func() { c.followLeadership(run) })
	c.wg.Go(func() { c.watchSpace(run) })
	if cfg.Identity != nil {
		c.wg.Go(func() { c.tendAuthority(run) })
	}
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
	if own := c.cfg.Identity; own != nil {
		own.Deny(c.Denied)
		own.OnRefusal(func(r *pki.Refusal) {
			c.metrics.strangers.WithLabelValues(string(r.Reason)).Inc()
		})
		if err := keepSecrets(c.cfg.Data); err != nil {
			return err
		}
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

	// The audit log before Raft, which fills it, and before NATS, whose refusals are in it.
	if c.audit, err = openAudit(c.cfg, c.space.spend); err != nil {
		return errors.Join(err, store.Close())
	}
	c.refusals.audit, c.refusals.locked = c.audit, c.locked()
	if c.broker, err = openBroker(c.cfg, c.lock()); err != nil {
		return errors.Join(err, store.Close())
	}
	if err = c.openDesk(); err != nil {
		return errors.Join(err, store.Close())
	}
	c.cons, err = openRaft(c.cfg, store, &replicated{c.loop, c.audit, c.fail, c.authority.Store},
		c.space)
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

	// Raft first: it hands entries to the others until it has stopped.
	var err error
	if c.cons != nil {
		err = c.cons.close()
	}

	// What nodes ask for needs the object store, so the desk goes first.
	if c.desk != nil {
		c.desk.Close()
	}
	if c.broker != nil {
		c.broker.close()
	}
	if c.audit != nil {
		err = errors.Join(err, c.audit.files.Close())
	}
	if err != nil {
		return fmt.Errorf("cannot close coordinator %s: %w", c.cfg.ID, err)
	}
	return nil
}

// goPost runs f on a goroutine and posts what it returns as an event; from the loop. Close waits
// for such goroutines, so f must end soon once the term has.
func (c *Coordinator) goPost(f func() func()) {
	c.wg.Go(func() { c.loop.post(f()) })
}

// NATS returns the option for nats.Connect to reach the embedded server in the process.
func (c *Coordinator) NATS() nats.Option { return nats.InProcessServer(c.broker) }

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

// fail ends the coordinator's part in the cluster, from any goroutine. Only the first error counts.
func (c *Coordinator) fail(err error) {
	c.failing.Do(func() {
		c.failure = fmt.Errorf("coordinator %s stops: %w", c.cfg.ID, &broken{c.cfg.Data, err})
		close(c.ended)
	})
}

// leading returns a *NotLeaderError unless this coordinator leads; not from the loop.
func (c *Coordinator) leading() error {
	if !c.leads() {
		return c.notLeader()
	}
	return nil
}

// notLeader says who leads instead; not from the loop.
func (c *Coordinator) notLeader() error {
	_, id := c.cons.raft.LeaderWithID()
	e := &NotLeaderError{ID: string(id)}
	if e.ID == c.cfg.ID {
		e.ID = "" // elected, but its term has not begun here
	}
	e.HTTP = c.addresses()[e.ID]
	return e
}

// addresses returns the HTTP addresses that are known, by id: those of members that were added come
// from the log, those of the first ones from the configuration. Not from the loop.
func (c *Coordinator) addresses() map[string]string {
	out := map[string]string{}
	c.loop.read(func() { out = c.core.Machine().Members() })
	for _, p := range c.cfg.Raft.Peers {
		if out[p.ID] == "" {
			out[p.ID] = p.HTTP
		}
	}
	if out[c.cfg.ID] == "" {
		out[c.cfg.ID] = c.cfg.HTTP
	}
	return out
}

// do has the core called as an event, and names the leader if this coordinator is not the one.
func do[T any](ctx context.Context, c *Coordinator, f func(reply func(T, error))) (T, error) {
	by := actor(ctx)
	v, err := call(ctx, c.loop, func(reply func(T, error)) { c.core.As(by, func() { f(reply) }) })
	if errors.Is(err, ErrNotLeader) || errors.Is(err, errClosed) {
		err = c.notLeader()
	}
	return v, err
}

// doNow is do for what has its answer at once.
func doNow[T any](ctx context.Context, c *Coordinator, f func() (T, error)) (T, error) {
	return do(ctx, c, func(reply func(T, error)) { reply(f()) })
}

// nothing is the answer of what gives an error at most.
type nothing = struct{}

// doErr is doNow for what gives an error at most.
func doErr(ctx context.Context, c *Coordinator, f func() error) error {
	_, err := doNow(ctx, c, func() (nothing, error) { return nothing{}, f() })
	return err
}

// look has the core read.
func look[T any](c *Coordinator, f func() (T, error)) (v T, err error) {
	if !c.loop.read(func() { v, err = f() }) || errors.Is(err, ErrNotLeader) {
		err = c.notLeader()
	}
	return v, err
}
