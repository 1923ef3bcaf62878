package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/bench/serve"
)

const (
	// atWork is how long a fault waits for a shard that works: one on an idle shard shows nothing.
	atWork = 30 * time.Second
	// drainTime is how long a shard that is drained may go on with its step, and electing how long
	// coordinators may take to agree on another leader.
	drainTime = time.Minute
	electing  = time.Minute
)

// Nothing is disturbed that the cluster could not lose at any time by itself: processes end without
// a word and their data stays, as after a crash or a machine that is restarted. What happens to
// disks and networks is for tests of the project, which need no benchmark to be judged.

// Disturb implements serve.Disturber.
func (c *Cluster) Disturb(ctx context.Context, kind string, _ int) (serve.Disturbance, error) {
	switch kind {
	case serve.FaultKill:
		return c.killShard(ctx)
	case serve.FaultLeader:
		return c.killLeader(ctx)
	}
	return drain(ctx, c.Client, c.choose)
}

// settling is how long after it was killed a shard is left alone: coordinators take it for one that
// works until they miss it, and a second fault would hit nothing.
const settling = 10 * time.Second

// choose picks one of some shards at random, "" if all of them were killed just now.
func (c *Cluster) choose(names []string) string {
	names = slices.DeleteFunc(names, func(name string) bool {
		return time.Since(c.killed[name]) < settling
	})
	if len(names) == 0 {
		return ""
	}
	return names[c.rng.IntN(len(names))]
}

// killShard kills one that works, and starts it again at once.
func (c *Cluster) killShard(ctx context.Context) (d serve.Disturbance, err error) {
	name, err := working(ctx, c.Client, c.choose)
	if err != nil {
		return d, err
	}

	for _, p := range c.shards {
		if p.name != name {
			continue
		}

		// The time is taken before, so that whatever follows from it comes after.
		d = serve.Disturbance{Target: name, At: time.Now()}
		c.killed[name] = d.At
		if err := p.kill(); err != nil {
			return d, err
		}
		return d, p.start()
	}
	return d, fmt.Errorf("the shard %q is none of this cluster's", name)
}

// Recovery from the loss of a leader is until another one leads, as nothing that was decided is
// lost with it; the clips under way go on meanwhile, and nobody may find out but those who ask.

// killLeader kills the coordinator that leads, waits until another one does, and starts it again.
func (c *Cluster) killLeader(ctx context.Context) (d serve.Disturbance, err error) {
	ctx, cancel := context.WithTimeout(ctx, electing)
	defer cancel()
	leader := -1
	if err := poll(ctx, func() (bool, error) {
		leader = c.leading(ctx)
		return leader >= 0, nil
	}); err != nil {
		return d, fmt.Errorf("no coordinator leads: %w", err)
	}

	p := c.coordinators[leader]
	d = serve.Disturbance{Target: p.name, At: time.Now()}
	if err := p.kill(); err != nil {
		return d, err
	}

	if err := poll(ctx, func() (bool, error) { return c.leading(ctx) >= 0, nil }); err != nil {
		return d, fmt.Errorf("no other coordinator leads: %w", err)
	}
	d.Recovery = time.Since(d.At)
	return d, p.start()
}

// Each coordinator is asked by itself, and not through the balancer, which would ask any of them.

// leading is which coordinator says that it leads, -1 if none does. One that was killed does not
// answer, and would be waited for by a client that asks again.
func (c *Cluster) leading(ctx context.Context) int {
	for i, p := range c.coordinators {
		if p.gone() {
			continue
		}
		one, err := client.New("http://"+c.https[i], nil)
		if err != nil {
			continue
		}
		if s, err := one.Cluster(ctx); err == nil && s.Leads() {
			return i
		}
	}
	return -1
}

// Remote is a cluster of somebody else's. Of the kinds of faults, only drains are in its API: that
// cannot end a process, and nobody would want it to.
type Remote struct {
	Client *client.Client
}

// Disturb implements serve.Disturber.
func (r Remote) Disturb(ctx context.Context, kind string, n int) (serve.Disturbance, error) {
	if kind != serve.FaultDrain {
		return serve.Disturbance{}, fmt.Errorf("a cluster that runs elsewhere can be drained, and no "+
			"%s be done to it", kind)
	}
	return drain(ctx, r.Client, func(names []string) string { return names[n%len(names)] })
}

// drain takes a shard that works out of use, and lets it back in as soon as it has handed its work
// over.
func drain(ctx context.Context, c *client.Client, choose func([]string) string) (
	d serve.Disturbance, err error) {
	name, err := working(ctx, c, choose)
	if err != nil {
		return d, err
	}
	d = serve.Disturbance{Target: name, At: time.Now()}
	if _, err := c.Drain(ctx, name, drainTime); err != nil {
		return d, err
	}

	// Whatever happens, the shard is let back in: a benchmark leaves a cluster as it found it.
	limited, cancel := context.WithTimeout(ctx, 2*drainTime)
	defer cancel()
	waited := poll(limited, func() (bool, error) {
		nodes, err := c.Nodes(limited)
		for _, n := range nodes {
			if n.Name == name && n.State != "drained" {
				return false, nil
			}
		}
		return err == nil, nil
	})
	back, end := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer end()
	if _, err := c.Undrain(back, name); err != nil {
		return d, fmt.Errorf("%s is drained, and cannot be let back in: %w", name, err)
	}
	if ctx.Err() != nil {
		return d, fmt.Errorf("%s was not drained before the last clip ended", name)
	}
	if waited != nil {
		return d, fmt.Errorf("%s was not drained in %v", name, 2*drainTime)
	}
	return d, nil
}

// A fault on a cluster that has nothing to do shows nothing, and a report that counts it flatters.
// In an open loop with a low rate shards are idle for most of the time, so a fault waits for one
// that is not.

// working returns the name of a shard that works on a clip, and that choose takes of those that do.
// It waits for one.
func working(ctx context.Context, c *client.Client, choose func([]string) string) (name string,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, atWork)
	defer cancel()
	err = poll(ctx, func() (bool, error) {
		nodes, err := c.Nodes(ctx)
		if err != nil {
			return false, nil // an election, or a coordinator that starts
		}

		// A shard that is drained has nothing left to lose, and one that stops no clip.
		var busy []string
		for _, n := range nodes {
			if n.State == "busy" && n.Job != "" {
				busy = append(busy, n.Name)
			}
		}
		if len(busy) > 0 {
			name = choose(busy)
		}
		return name != "", nil
	})
	if err != nil {
		return "", fmt.Errorf("no shard works on a clip: %w", err)
	}
	return name, nil
}
