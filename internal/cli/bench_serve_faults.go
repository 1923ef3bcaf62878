package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/bench/cluster"
	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/serve"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/shard"
	"github.com/longtake/longtake/internal/terminal"
)

// Faults need processes that can be killed without this one, so a cluster that is started for them
// is one of processes: the programs coordinator and shard, as operators run them. Of a cluster that
// is there already a client can drain shards, and of other servers nothing.

// checkFaults refuses those that cannot be done to the server, as far as that is known before it is
// asked what it is.
func (b *serveBench) checkFaults() error {
	faults := b.setup.Faults
	if len(faults) == 0 {
		return nil
	}

	if b.setup.Embedded {
		if b.local.Transport != "nats" {
			return daemon.Usagef("--transport is %s; allowed: nats, with --faults, as each shard is a "+
				"process of its own", b.local.Transport)
		}
		_, err := cluster.Find()
		return usageIf(err)
	}

	for _, f := range faults {
		if f.Kind != serve.FaultDrain {
			return daemon.Usagef("--faults has %s, which needs a cluster that is started here (without "+
				"--coordinator and --url); allowed for others: drain", f.Kind)
		}
	}
	return b.ofOurs(b.target.Dialect)
}

// ofOurs refuses faults in dialects that have none.
func (b *serveBench) ofOurs(dialect string) error {
	if len(b.setup.Faults) == 0 || dialect == "longtake" || dialect == "auto" {
		return nil
	}
	return daemon.Usagef("--faults does not go with a server of the dialect %s, which has no way to "+
		"drain a device; allowed: clusters of longtake", dialect)
}

// usageIf makes an error one of usage, if there is one.
func usageIf(err error) error {
	if err == nil {
		return nil
	}
	return daemon.Usage(err)
}

// The data goes with the cluster, as that of a cluster in this process does; an interrupted run
// that goes on has another cluster, and makes the disturbed clips anew.

// startProcesses starts a cluster that can be disturbed. Its processes' logs stay with the results:
// they say what happened.
func (b *serveBench) startProcesses(ctx context.Context) (c *cluster.Cluster, end func() error,
	err error) {
	dir, err := cluster.Find()
	if err != nil {
		return nil, nil, err
	}
	data, err := os.MkdirTemp("", "longtake-bench-")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a folder for the cluster: %w", err)
	}

	members := 1
	for _, f := range b.setup.Faults {
		if f.Kind == serve.FaultLeader {
			members = 3 // so that two can agree on another one
		}
	}
	c, err = cluster.Start(ctx, cluster.Config{Programs: dir, Data: data,
		Logs: filepath.Join(b.dir, "logs"), Coordinators: members, Shards: b.shardFlags(),
		Seed: b.setup.Seed})
	end = func() error { return errors.Join(c.Close(), os.RemoveAll(data)) }
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return c, end, nil
}

// The shards are to compute as those of a cluster in this process would, so that the undisturbed
// run compares with one without faults: the same devices, threads and models.

// shardFlags are what the shards of a cluster of processes compute on, as those of this process
// would.
func (b *serveBench) shardFlags() (out [][]string) {
	for i := range b.local.Shards {
		own := []string{"--threads", fmt.Sprint(b.local.Threads), "--device", shard.DeviceCPU}
		if n := len(b.local.GPUs); n > 0 {
			own = []string{"--device", fmt.Sprintf("%s:%d", shard.DeviceCUDA, b.local.GPUs[i%n]),
				"--vae-dtype", b.local.VAEDType}
		}
		own = append(own, "--experts", b.values.String("experts"))
		for _, m := range b.values.Paths("model") {
			own = append(own, "--model", m)
		}
		out = append(out, own)
	}
	return out
}

// disturb gives a run what it needs for its faults: what does them, and who says what they cost.
func (b *serveBench) disturb(run *serve.Bench, own *cluster.Cluster) error {
	if len(b.setup.Faults) == 0 {
		return nil
	}

	// Of a cluster elsewhere the client has the same key and CA as the load has.
	var c *client.Client
	if own != nil {
		c, run.Disturber = own.Client, own
	} else {
		hc, err := client.Trusting(b.target.CA)
		if err != nil {
			return daemon.Usagef("--ca: %w", err)
		}
		if c, err = client.New(b.target.URL, hc); err != nil {
			return daemon.Usage(err)
		}
		c = c.WithKey(b.target.Key)
		run.Disturber = cluster.Remote{Client: c}
	}

	run.Losses = func(ctx context.Context, id string) ([]job.Loss, error) {
		v, err := c.Get(ctx, job.ID(id))
		return v.Details.Losses, err
	}
	return nil
}

// The table is what the faults were for. It has both runs in full, as a ratio of two figures that
// nobody sees is easily believed.

// printFaults prints what faults have cost, beside the run without.
func printFaults(w io.Writer, f *result.Faults) error {
	err := terminal.Table(w, "\tCLIPS\tAN HOUR\tGOODPUT\tP50\tP90", func(w io.Writer) {
		row := func(name string, l result.Load) {
			good := "-"
			if l.Goodput != nil {
				good = fmt.Sprintf("%.4g", l.Goodput.Clips)
			}
			terminal.Printf(w, "%s\t%d of %d\t%.4g\t%s\t%s\t%s\n", name, l.Completed, l.Requests,
				l.Throughput.Clips, good, span(l.Latency.P50.Value), span(l.Latency.P90.Value))
		}

		// Both are of the same clips, asked for in the same way.
		row("undisturbed", f.Undisturbed)
		row("with faults", f.Under)
	})
	for _, e := range f.Events {
		terminal.Printf(w, "%s of %s: %s\n", e.Kind, e.Target, costOf(e))
	}
	return err
}

// costOf says what one fault has cost.
func costOf(f result.Fault) string {
	var out []string
	switch {
	case len(f.Hit) == 0:
		out = append(out, "hit no clip")
	case f.Recovery == nil:
		out = append(out, fmt.Sprintf("hit %s, never recovered", count(len(f.Hit), "clip")))
	default:
		out = append(out, fmt.Sprintf("hit %s, %s made again", count(len(f.Hit), "clip"),
			count(f.Redone, "step")))
	}
	if f.Recovery != nil {
		out = append(out, "recovered after "+span(*f.Recovery))
	}
	return strings.Join(out, ", ")
}
