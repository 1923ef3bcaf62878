package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
)

// heartbeat is how often shards report, by default.
const heartbeat = 500 * time.Millisecond

// endTime bounds the wait for clips that are under way when no more are asked for.
const endTime = 3 * time.Minute

// run is one measurement: who is loaded, who loads, and what is known so far.
type run struct {
	cfg     Config
	cluster *coordinators
	fleet   *fleet
	clients *clients
	result  *Result
}

// Run starts coordinators, loads them and stops them. A *Result that it returns is whole; whether
// it is as it should be says its method Err.
func Run(ctx context.Context, cfg Config) (_ *Result, err error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Say == nil {
		cfg.Say = func(string, ...any) {}
	}
	r := &run{cfg: cfg, result: newResult(cfg)}

	cfg.Say("starting %d coordinators", cfg.Coordinators)
	r.cluster, err = startCluster(ctx, cfg)
	defer func() { err = errors.Join(err, r.cluster.close()) }()
	if err != nil {
		return nil, err
	}

	// Clients end before shards, so that the last clips are finished.
	live, stop := context.WithCancel(ctx)
	defer stop()
	r.fleet = newFleet(live, cfg, r.cluster.control(), r.cluster.hosts)
	defer r.fleet.close()
	asking, end := context.WithCancel(ctx)
	defer end()
	r.clients = newClients(asking, r.cluster, r.fleet)
	defer func() {
		end()
		r.clients.wg.Wait()
	}()

	// What is wrong is known only after the last clip has ended.
	if err := r.phases(ctx); err != nil {
		return nil, err
	}
	r.result.Jobs, r.result.Wrong = r.clients.jobs(), r.wrong()
	return r.result, ctx.Err()
}

// phases are what is measured, in turn. Clients go on asking for clips throughout.
func (r *run) phases(ctx context.Context) error {
	r.cfg.Say("registering %d shards", r.cfg.Shards)
	took, err := r.fleet.start(heartbeat)
	if err != nil {
		return err
	}
	r.result.Start = r.storm(took)

	asking, enough := context.WithCancel(ctx)
	defer enough()
	var background sync.WaitGroup
	defer background.Wait()
	defer enough()
	rng := func(n uint64) *rand.Rand {
		return rand.New(rand.NewPCG(r.cfg.Seed, n)) //nolint:gosec // arrivals
	}
	background.Go(func() { r.clients.arrive(asking, rng(1)) })
	background.Go(func() { r.clients.drains(asking, rng(2)) })
	background.Go(func() { r.clients.lists(asking) })

	steps := []func(context.Context) error{r.warm, r.steady}
	if r.cfg.Failover {
		steps = append(steps, r.failover)
	}
	if r.cfg.Restart {
		steps = append(steps, r.restart)
	}
	for _, step := range steps {
		if err := cmp.Or(step(ctx), ctx.Err()); err != nil {
			return err
		}
	}

	enough()
	background.Wait()
	r.cfg.Say("waiting for %d clips", r.clients.open.Load())
	for end := time.Now().Add(endTime); r.clients.open.Load() > 0; pause(ctx, 50*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			break // those that are left count as lost
		}
	}
	return ctx.Err()
}

// storm is how all shards have registered, in the phase that ends now.
func (r *run) storm(took time.Duration) Storm {
	each, _ := r.fleet.phase().times()
	return Storm{Seconds: took.Seconds(), Register: each[kindRegister],
		RouteBytes: r.fleet.routes.Swap(0)}
}

// warm waits until about as many clips run as there are going to be.
func (r *run) warm(ctx context.Context) error {
	r.cfg.Say("asking for %.1f clips a second", r.cfg.rate())
	pause(ctx, min(r.cfg.clip(), r.cfg.Load))
	return nil
}

// steady measures the load that stays.
func (r *run) steady(ctx context.Context) error {
	r.cfg.Say("measuring for %v", r.cfg.Load)
	lead := r.cluster.leader(ctx)
	if lead == nil {
		return errors.New("no coordinator leads")
	}

	before, err := r.cluster.scrapeOf(ctx, lead)
	if err != nil {
		return err
	}
	r.fleet.phase()
	r.fleet.reports.Store(0)
	start, cpu := time.Now(), processTime()

	// The generator goes on by itself meanwhile. Shards die at even intervals.
	s, rng := &r.result.Steady, rand.New(rand.NewPCG(r.cfg.Seed, 3)) //nolint:gosec // who dies
	for n := range r.cfg.Kills + 1 {
		pause(ctx, time.Until(start.Add(r.cfg.Load*time.Duration(n+1)/time.Duration(r.cfg.Kills+1))))
		if n < r.cfg.Kills && r.fleet.kill(rng) {
			s.Died++
		}
	}

	took, own := time.Since(start).Seconds(), processTime()-cpu
	reports := r.fleet.reports.Load()
	s.Snapshots = r.cluster.snapshots(lead, start)
	s.Each, s.Commands = r.fleet.phase().times()

	// The leader is asked about itself after the samples were taken: its answer is long, and would
	// slow down what is timed.
	after, err := r.cluster.scrapeOf(ctx, lead)
	if err != nil {
		return err
	}

	// Rates are by the time that it took, not by what was asked for: a busy machine pauses longer.
	s.Seconds, r.result.Machine.Own = took, own.Seconds()/took

	s.CommandsPerSecond = float64(s.Commands.Count) / took
	s.HeartbeatsPerSecond = float64(s.Each[kindHeartbeat].Count) / took
	s.ReportsPerSecond = float64(reports) / took
	r.leader(before, after)
	return r.answers(ctx, lead, after)
}

// leader takes what a leader says of itself between two scrapes. Its own clock stands between them,
// so its rates do not count what the scrapes took.
func (r *run) leader(before, after scrape) {
	s, took := &r.result.Steady, after.at.Sub(before.at).Seconds()
	rate := func(name string) float64 { return (after.value(name) - before.value(name)) / took }
	s.EntriesPerSecond = rate("longtake_raft_log_entries_total")
	s.BytesPerSecond = rate("longtake_raft_log_bytes_total")
	s.Cores, s.Memory = rate("process_cpu_seconds_total"), after.value("process_resident_memory_bytes")
	s.CommitP99 = quantile(before, after, "longtake_commit_duration_seconds", 0.99)
	s.DecideP99 = quantile(before, after, "longtake_decide_duration_seconds", 0.99)
	s.Running = int(after.value("longtake_jobs_running"))
}

// answers times the largest answers that there are. Where nobody leads, as on a machine that is so
// busy that leaders are deposed, it waits for the next leader, as clients do.
func (r *run) answers(ctx context.Context, lead *member, metrics scrape) error {
	s := &r.result.Steady
	s.Metrics = Answer{metrics.took.Seconds(), int64(metrics.bytes)}
	s.Moved = r.cluster.leader(ctx) != lead

	start := time.Now()
	var nodes []schema.Node
	err := r.clients.do("", func(ctx context.Context, c *client.Client) (err error) {
		nodes, err = c.Nodes(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot list the shards: %w", err)
	}
	s.Nodes = Answer{Seconds: time.Since(start).Seconds(), Bytes: int64(len(nodes))}

	start = time.Now()
	var body io.ReadCloser
	err = r.clients.do("", func(ctx context.Context, c *client.Client) (err error) {
		body, err = c.Snapshot(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot save a snapshot: %w", err)
	}
	n, err := io.Copy(io.Discard, body)
	s.Snapshot = Answer{time.Since(start).Seconds(), n}
	return errors.Join(err, body.Close())
}

// failover kills the leader and measures how the others go on.
func (r *run) failover(ctx context.Context) error {
	lead := r.cluster.leader(ctx)
	if lead == nil {
		return errors.New("no coordinator leads")
	}
	r.cfg.Say("killing the leader, %s", lead.ID)

	// Requests that are under way to the leader do not wait for its sockets to time out.
	r.fleet.phase()
	start := time.Now()
	go lead.end()
	<-lead.stopped
	r.clients.interrupt()

	// A command that changes nothing is the first one that the next leader can acknowledge: the times
	// of clips would have the queue in them.
	f := &Failover{}
	err := r.clients.do("", func(ctx context.Context, c *client.Client) error {
		all := r.fleet.all()
		_, err := c.Undrain(ctx, string(all[0].id)) // of a shard that is not drained: it changes nothing
		return err
	})

	// A shard that has died meanwhile and is not known any more is an answer, too.
	f.Command = time.Since(start).Seconds()
	if err != nil && ctx.Err() == nil && !isNotFound(err) {
		return fmt.Errorf("no command after the loss of the leader: %w", err)
	}

	// The next leader begins with an empty table: shards hear from it that they are to register.
	if err := r.fleet.welcomed(lead.ID); err != nil {
		return err
	}
	f.Registered = time.Since(start).Seconds()
	each, _ := r.fleet.phase().times()
	f.Register = each[kindRegister]

	pause(ctx, settleTime)
	if next := r.cluster.leader(ctx); next != nil {
		if s, err := r.cluster.scrapeOf(ctx, next); err == nil {
			f.AttemptsLost = int(s.value(`longtake_attempts_lost_total{planned="false"}`))
		}
	}
	r.result.Failover = f
	return nil
}

// Attempts outlive the leader that has started them: their shards register with the next one, which
// recognises their work.

// settleTime is how long a new leader gives attempts whose shards it has not heard.
const settleTime = 6 * time.Second

// restart kills all shards at once and starts them again.
func (r *run) restart(ctx context.Context) error {
	r.cfg.Say("starting all shards again at once")
	r.fleet.routes.Store(0)
	r.fleet.phase()
	took, err := r.fleet.restart()
	if err != nil {
		return err
	}
	s := r.storm(took)
	r.result.Restart = &s
	return ctx.Err()
}

// wrong is what should not have been said, sorted: errors that clients had and that no retry cures,
// and refusals of shards.
func (r *run) wrong() (out []string) {
	r.clients.mu.Lock()
	defer r.clients.mu.Unlock()
	for what, n := range r.clients.failed {
		out = append(out, fmt.Sprintf("%s (%d times)", what, n))
	}
	if why := r.fleet.reasons(); why != "" {
		out = append(out, "shards were refused: "+why)
	}
	slices.Sort(out)
	return out
}

// Err says whether something went wrong that must not: a clip that was promised and is lost, or an
// answer that should not have been given.
func (r *Result) Err() error {
	if r.Jobs.Lost > 0 {
		return fmt.Errorf("%d of %d clips that were acknowledged have no end", r.Jobs.Lost,
			r.Jobs.Acknowledged)
	}
	if len(r.Wrong) > 0 {
		return fmt.Errorf("clients were told: %s", r.Wrong[0])
	}
	return nil
}
