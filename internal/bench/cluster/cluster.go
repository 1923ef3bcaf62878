package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/api/client"
)

// Cluster is one that runs. Disturb is for one goroutine; Close ends everything.
type Cluster struct {
	// URL is where clients reach it, whichever of its coordinators is there.
	URL string
	// Client asks it.
	Client *client.Client

	coordinators, shards []*process
	https                []string // of the coordinators, in their order
	balancer             *balancer
	rng                  *rand.Rand
	killed               map[string]time.Time // when a shard was last
}

// Processes are started and not waited for one by one, as a machine that boots does it: each waits
// for those that it needs. What ends instead says why in its log, the last line of which is the
// error.

// Start starts the processes and returns when all shards are ready for clips, which takes as long
// as they need to load the model. The caller closes the cluster, also where Start fails.
func Start(ctx context.Context, c Config) (*Cluster, error) {
	out := &Cluster{rng: rand.New(rand.NewPCG(c.Seed, 0)), //nolint:gosec // a benchmark's
		killed: map[string]time.Time{}}
	flags, https, nats, err := c.coordinators()
	if err != nil {
		return out, err
	}

	out.https = https
	if out.balancer, err = balance(https); err != nil {
		return out, err
	}

	out.URL = "http://" + out.balancer.addr()
	if out.Client, err = client.New(out.URL, nil); err != nil {
		return out, err
	}

	// Shards wait for coordinators that are not there yet, so nothing has to be started in turn.
	for i, own := range flags {
		p, err := c.process(fmt.Sprintf("c%d", i+1), "coordinator", own)
		if err != nil {
			return out, err
		}
		out.coordinators = append(out.coordinators, p)
	}

	for i, own := range c.Shards {
		name := fmt.Sprintf("shard-%d", i)
		p, err := c.process(name, "shard", append([]string{"--name", name, "--control",
			strings.Join(nats, ","), "--drain-timeout", "0s"}, own...))
		if err != nil {
			return out, err
		}
		out.shards = append(out.shards, p)
	}
	return out, out.ready(ctx)
}

// process starts one of the programs.
func (c Config) process(name, kind string, args []string) (*process, error) {
	p := &process{name: name, path: program(c.Programs, kind), args: args,
		log: filepath.Join(c.Logs, name+".log"), private: filepath.Join(c.Data, name+"-own")}
	for _, dir := range []string{c.Logs, p.private} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("cannot make a folder for %s: %w", name, err)
		}
	}
	return p, p.start()
}

// A cluster is asked and not listened to: what its processes say in their logs is for people, and
// changes from version to version, while the API keeps what it promises.

// pollEvery is how often the cluster is asked what it is about.
const pollEvery = 50 * time.Millisecond

// ready waits until every shard is idle. A process that ends meanwhile would be waited for in vain,
// so it ends the wait with its last words.
func (c *Cluster) ready(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		for _, p := range append(c.coordinators[:len(c.coordinators):len(c.coordinators)], c.shards...) {
			if p.gone() {
				return false, fmt.Errorf("%s has ended: %s", p.name, p.lastWords())
			}
		}

		// Without a leader there are no nodes, and the answer is an error.
		nodes, err := c.Client.Nodes(ctx)
		if err != nil {
			return false, nil // no leader yet
		}
		idle := 0
		for _, n := range nodes {
			if n.State == "idle" {
				idle++
			}
		}
		return idle == len(c.shards), nil
	})
}

// poll asks until the answer is yes, or an error, or ctx ends.
func poll(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Nothing of the cluster is left behind, however the run ends: not a process, a connection, nor a
// goroutine. The folders are the caller's.

// Close ends all processes: shards first, so that they find a coordinator to take leave of.
func (c *Cluster) Close() error {
	var errs []error
	for _, group := range [][]*process{c.shards, c.coordinators} {
		var all sync.WaitGroup
		results := make([]error, len(group))
		for i, p := range group {
			all.Go(func() { results[i] = p.stop() })
		}
		all.Wait()
		errs = append(errs, results...)
	}
	if c.balancer != nil {
		errs = append(errs, c.balancer.close())
	}
	return errors.Join(errs...)
}
