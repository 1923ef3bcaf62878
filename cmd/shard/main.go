// Command shard offers this machine's device to a cluster.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/shard"
)

const long = `Run a shard: it loads a model, registers with the coordinators and computes its part
of each job that they place on it. It waits for coordinators that are not there yet.

  shard --config configs/shard.yaml --name a`

func main() {
	os.Exit(daemon.Main(daemon.Command("shard", "Run a shard", long, config.Shard(), run)))
}

func run(ctx context.Context, v *config.Values, log *slog.Logger) error {
	cfg, err := read(v)
	if err != nil {
		return daemon.Usage(err)
	}
	cfg.Log = log
	m, err := shard.StartMachine(ctx, cfg)
	if err != nil {
		return err
	}
	for _, n := range m.Shards()[0].Model().Notices { // they share it
		log.Warn("the model is used with a notice", "notice", n)
	}
	for _, s := range m.Shards() {
		log.Info("loaded", "model", s.Model().Name, "name", s.Name(), "id", s.ID(),
			"control", config.Redact(cfg.Control))
	}
	select {
	case <-ctx.Done():
		drain(ctx, m, v.Duration("drain-timeout"), log)
	case <-m.Done():
	}
	return errors.Join(m.Err(), m.Close())
}

// drainGrace is what a drain may take beyond its limit, for the coordinators to act on it.
const drainGrace = 5 * time.Second

// drain hands over what the shards work on. A second signal ends the process in the meantime.
func drain(ctx context.Context, m *shard.Machine, limit time.Duration, log *slog.Logger) {
	if limit <= 0 {
		return
	}
	log.Info("draining", "limit", limit)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit+drainGrace)
	defer cancel()
	if err := m.Drain(ctx, limit); err != nil {
		log.Warn("stopping without being drained", "error", err)
		return
	}
	log.Info("drained")
}

func read(v *config.Values) (shard.Config, error) {
	c := shard.Config{
		Version: daemon.Version,
		Name:    v.String("name"), Model: v.String("model"), Device: v.String("device"),
		GPUs: v.String("gpus"), Threads: v.Int("threads"),
		TempDir: v.String("tmp"), Cache: cmp.Or(v.String("cache"), shard.DefaultCache()),
		Control: v.String("control"),
		Data: shard.DataPlane{URL: v.String("data.url"), Listen: v.String("data.listen"),
			Advertise: v.String("data.advertise"), PeerTimeout: v.Duration("data.peer-timeout")},
		AfterLoad: daemon.TuneRuntime, ReleaseMemory: debug.FreeOSMemory,
	}
	var err error
	if c.DType, err = compute.ParseDType(v.String("dtype")); err != nil || c.Name != "" {
		return c, err
	}
	host, err := os.Hostname()
	if err != nil {
		return c, fmt.Errorf("name is not set and the host has none: %w", err)
	}
	c.Name = host
	return c, nil
}
