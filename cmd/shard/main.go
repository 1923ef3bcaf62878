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

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/join"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/shard"
)

const long = `Run a shard: it loads a model, registers with the coordinators and computes its part
of each job that they place on it. It waits for coordinators that are not there yet.

  shard --config configs/shard.yaml --name a`

func main() {
	os.Exit(daemon.Main(daemon.Command("shard", "Run a shard", long, config.Shard(), run)))
}

// run is the service behind the command: it loads the model, registers a shard for each GPU that
// the settings name (or one for the CPU), and waits for a signal or for a shard that ends by
// itself. Coordinators that cannot be reached are no error: shards go on trying.
func run(ctx context.Context, v *config.Values, log *slog.Logger) error {
	cfg, err := read(v)
	if err != nil {
		return daemon.Usage(err)
	}
	cfg.Log = log
	cfg.Identity, err = join.Identity(ctx, v, pki.RoleShard, join.NameOf(cfg.Name), nil, log)
	if err != nil {
		return err
	}
	defer cfg.Identity.Close()
	keeper := join.Keeper{Own: cfg.Identity, Deny: true, Log: log}
	defer keeper.Start(ctx)()
	cfg.Control = join.Control(v)
	if d := cfg.Data; !d.GoesDirectly(cfg.Identity != nil) && d.DirectAddr+d.DirectAdvertise != "" {
		log.Warn("data.direct-addr and data.direct-advertise have no effect, as data.transport is not " +
			"direct")
	}
	m, err := shard.StartMachine(ctx, cfg)
	if err != nil {
		return err
	}

	// Notices tell what the model is used without, such as a file that was left out; they do not keep
	// the shard from working.
	for _, served := range m.Shards()[0].Models() { // they share them
		for _, n := range served.Notices {
			log.Warn("the model is used with a notice", "model", served.Name, "notice", n)
		}
	}
	for _, s := range m.Shards() {
		log.Info("loaded", "model", s.Models()[0].Name, "name", s.Name(), "id", s.ID(),
			"control", config.Redact(cfg.Control))
	}

	// A shard that has ended by itself, such as one whose model the cluster refuses, cannot be
	// drained any more: the process ends with its error.
	select {
	case <-ctx.Done():
		drain(ctx, m, v.Duration("drain-timeout"), log)
	case <-m.Done():
	}
	return errors.Join(m.Err(), m.Close())
}

// drainGrace is what a drain may take beyond its limit: at the limit the coordinators move the work
// without waiting for a step's end, and need a moment to confirm it.
const drainGrace = 5 * time.Second

// drain hands over what the shards work on, at the end of a step, for limit at most; 0 or less
// means not at all. A drain that fails is only logged: the process ends in any case, and its clips
// then go on elsewhere from their latest checkpoint. A second signal ends the process in the
// meantime.
func drain(ctx context.Context, m *shard.Machine, limit time.Duration, log *slog.Logger) {
	if limit <= 0 {
		return
	}

	log.Info("draining", "limit", limit)

	// The signal has ended ctx already, so the drain needs a context that lives on. It returns once
	// the shards are idle; where no coordinator answers, the limit ends the wait.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit+drainGrace)
	defer cancel()

	if err := m.Drain(ctx, limit); err != nil {
		log.Warn("stopping without being drained", "error", err)
		return
	}
	log.Info("drained")
}

// read makes a shard's configuration of its settings. A shard without a name takes its host's, by
// which operators know it in longtake node list; a host without a name is a usage error.
func read(v *config.Values) (shard.Config, error) {
	c := shard.Config{
		Version: daemon.Version,
		Name:    v.String("name"), Device: v.String("device"),
		Host: v.String("host"), Rack: v.String("rack"),
		GPUs: v.String("gpus"), DType: v.String("dtype"), Threads: v.Int("threads"),
		VAEDType:    v.String("vae-dtype"),
		Experts:     engine.Residency(v.String("experts")),
		TextEncoder: engine.Residency(v.String("text-encoder")),
		ForgetTexts: v.Bool("forget-texts"),
		TempDir:     v.String("tmp"), Cache: cmp.Or(v.String("cache"), shard.DefaultCache()),
		Control: v.String("control"),
		Data: shard.DataPlane{URL: v.String("data.url"), Listen: v.String("data.listen"),
			Advertise: v.String("data.advertise"), PeerTimeout: v.Duration("data.peer-timeout"),
			Transport: v.String("data.transport"), DirectAddr: v.String("data.direct-addr"),
			DirectAdvertise:   v.String("data.direct-advertise"),
			DirectConnections: v.Int("data.direct-connections")},
		AfterLoad: daemon.TuneRuntime, ReleaseMemory: debug.FreeOSMemory,
	}

	// AfterLoad bounds the garbage collector by the memory in use once the weights are there;
	// ReleaseMemory gives pages back to the system after a clip and its denoising.
	var err error
	if c.Models, err = shard.ParseModels(v.Paths("model")); err != nil {
		return c, err
	}
	if c.Rates, err = shard.ReadRates(v.Strings("bandwidth")); err != nil {
		return c, err
	}
	if c.Delays, err = shard.ReadDelays(v.Strings("delay")); err != nil {
		return c, err
	}
	if c.LoRAs, err = shard.ReadLoRAs(v.Strings("loras")); err != nil {
		return c, err
	}
	if c.Name != "" {
		return c, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return c, fmt.Errorf("name is not set and the host has none: %w", err)
	}
	c.Name = host
	return c, nil
}
