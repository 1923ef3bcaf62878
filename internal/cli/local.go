package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/shard"
)

const (
	defaultShards  = 2
	localShardsMax = 64
)

// localConfig describes a whole cluster in this process.
type localConfig struct {
	Model     string // folder; "": the built-in one
	Shards    int
	Threads   int    // of each shard; 0: the cores, shared out
	Transport string // "nats" or "mem"
	DType     compute.DType
	Data      string // directory that stays; "": one that goes with the cluster
	// Checkpoints are written also where the directory goes with the cluster.
	Checkpoints bool
	Listen      string   // host:port of the API
	Hosts       []string // names for it, besides those of Listen
	Origins     []string // of web pages elsewhere that may use it
	Clients     api.Clients
	// RequestTime is how long a clip may be predicted to take; below 0: no limit.
	RequestTime time.Duration
	Storage     coord.Limits // those that ReadStorage reads
	Log         *slog.Logger
}

// readLocal takes the settings; shards is what else asks for a number of them, or 0.
func readLocal(v *config.Values, shards int, log *slog.Logger) (localConfig, error) {
	c := localConfig{Model: v.String("model"), Shards: v.Int("shards"), Threads: v.Int("threads"),
		Transport: v.String("transport"), Listen: "127.0.0.1:0",
		RequestTime: RequestTime(v), Log: log}
	if c.Shards == 0 {
		c.Shards = shards
	}
	if c.Shards == 0 {
		c.Shards = defaultShards
	}
	if c.Shards < 1 || c.Shards > localShardsMax {
		return c, usage("--shards is %d; allowed: 1 to %d in one process", c.Shards, localShardsMax)
	}
	if c.Threads < 0 || c.Threads > 1024 {
		return c, usage("--threads is %d; allowed: 0 (the cores, shared out) to 1024", c.Threads)
	}
	if c.Threads == 0 {
		c.Threads = max(1, runtime.NumCPU()/c.Shards)
	}
	if c.Transport != "nats" && c.Transport != "mem" {
		return c, usage("--transport is %q; allowed: nats, mem", c.Transport)
	}
	return c, nil
}

// offers is what the shards are going to bring to a clip.
func (c localConfig) offers(m job.Model) ([]coord.Offer, error) {
	speed, memory, err := shard.RateCPU(m, c.Threads, c.Shards)
	if err != nil {
		return nil, &usageError{err}
	}
	return slices.Repeat([]coord.Offer{{Speed: speed, Memory: memory}}, c.Shards), nil
}

// RequestTime reads limits.request-time for a coordinator, whose own 0 is the default.
func RequestTime(v *config.Values) time.Duration {
	if d := v.Duration("limits.request-time"); d > 0 {
		return d
	}
	return -1
}

// ReadStorage reads what bounds the disk of a coordinator.
func ReadStorage(v *config.Values, l *coord.Limits) error {
	l.Disk, l.Reserve = v.Bytes("limits.disk"), v.Bytes("limits.disk-reserve")
	l.KeepFor, l.KeepBytes = v.Duration("limits.keep-for"), v.Bytes("limits.keep-bytes")
	if l.KeepFor < 0 {
		return usage("limits.keep-for is %v; allowed: from 0s", l.KeepFor)
	}
	return nil
}

func parseDType(name string) (compute.DType, error) {
	t, err := compute.ParseDType(name)
	if err != nil {
		return t, usage("--%w", err)
	}
	return t, nil
}

// local is a running cluster in this process: coordinator, HTTP API, shards.
type local struct {
	URL    string
	coord  *coord.Coordinator
	data   *nats.Server
	shards []*keeper
	temp   string
	// leave ends the watch over the shards, keeping is who keeps it.
	leave   context.CancelFunc
	keeping sync.WaitGroup
	stop    context.CancelFunc
	served  chan error // the API's end
}

// startLocal returns once every shard is registered. The caller closes the cluster.
func startLocal(ctx context.Context, cfg localConfig) (_ *local, err error) {
	l := &local{served: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.temp, err = os.MkdirTemp("", "longtake-"); err != nil {
		return l, fmt.Errorf("cannot create a directory: %w", err)
	}
	cache := filepath.Join(cfg.Data, "models")
	if cfg.Data == "" {
		cfg.Data, cache = l.temp, shard.DefaultCache()
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return l, fmt.Errorf("cannot listen for HTTP: %w", err)
	}
	l.URL = "http://" + listener.Addr().String()
	if err := os.MkdirAll(cfg.Data, 0o750); err != nil {
		listener.Close()
		return l, usage("--data: %w", err)
	}
	every := 1
	if cfg.Data == l.temp && !cfg.Checkpoints {
		every = -1 // the shards and the checkpoints would go together
	}
	lead := sync.OnceValue(func() (err error) {
		limits := cfg.Storage
		limits.RequestTime = cfg.RequestTime
		l.coord, err = coord.Start(ctx, coord.Config{Data: cfg.Data, HTTP: l.URL, Version: Version,
			CheckpointEvery: every, Log: cfg.Log,
			Limits: limits})
		if err != nil {
			listener.Close()
			return err
		}
		l.serve(ctx, listener, cfg)
		return nil
	})
	go lead() // while the shards load the model
	err = l.startShards(ctx, cfg, cache, lead)
	if first := lead(); first != nil {
		return l, first // what the shards say follows from it
	}
	return l, err
}

func (l *local) serve(ctx context.Context, listener net.Listener, cfg localConfig) {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	h := api.New(api.Config{Service: l.coord, Metrics: l.coord.Metrics(), Log: cfg.Log,
		Hosts: api.Hosts(cfg.Hosts, cfg.Listen, l.URL), Origins: cfg.Origins,
		Clients: cfg.Clients})
	go func() { l.served <- api.Serve(run, listener, h) }()
}

// startShards starts them side by side: each loads the model, then waits for the coordinator.
func (l *local) startShards(ctx context.Context, cfg localConfig, cache string,
	lead func() error) (err error) {
	var plane shard.DataPlane
	if cfg.Transport == "mem" {
		plane.Hub = new(mem.Hub)
	} else if l.data, err = nats.StartServer(nats.ServerOptions{Name: "data"}); err != nil {
		return err
	} else {
		plane.Server = l.data
	}
	watch, leave := context.WithCancel(context.WithoutCancel(ctx))
	l.leave = leave
	l.shards = make([]*keeper, cfg.Shards)
	errs := make([]error, cfg.Shards)
	var wg sync.WaitGroup
	for i := range cfg.Shards {
		k := &keeper{log: cfg.Log, start: func(ctx context.Context) (runner, error) {
			return l.startShard(ctx, cfg, i, plane, cache, lead)
		}}
		l.shards[i] = k
		wg.Go(func() {
			if errs[i] = k.first(ctx); errs[i] == nil {
				l.keeping.Go(func() { k.keep(watch) })
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err // the others are most likely the same
		}
	}
	return nil
}

// startShard returns once the shard is registered.
func (l *local) startShard(ctx context.Context, cfg localConfig, i int, plane shard.DataPlane,
	cache string, lead func() error) (*shard.Shard, error) {
	s, err := shard.Start(ctx, shard.Config{Version: Version,
		Name: fmt.Sprintf("shard-%d", i), Model: cfg.Model,
		Threads: cfg.Threads, DecodeThreads: cfg.Threads * cfg.Shards, DType: cfg.DType,
		Sharers: cfg.Shards, TempDir: l.temp, Cache: cache, Log: cfg.Log, Data: plane,
		ControlOptions: func() ([]shard.ControlOption, error) {
			if err := lead(); err != nil {
				return nil, err
			}
			return []shard.ControlOption{l.coord.NATS()}, nil
		}})
	if err != nil {
		return nil, err
	}
	if err := s.Registered(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// model returns what the shards serve.
func (l *local) model() job.Model { return l.shards[0].current().(*shard.Shard).Model() }

// Close stops everything, in reverse.
func (l *local) Close() error {
	if l.leave != nil {
		l.leave()
	}
	l.keeping.Wait()
	var wg sync.WaitGroup
	for _, k := range l.shards {
		wg.Go(k.close)
	}
	wg.Wait()
	if l.data != nil {
		l.data.Shutdown()
	}
	var err error
	if l.stop != nil {
		l.stop()
		err = <-l.served
	}
	if l.coord != nil {
		err = errors.Join(err, l.coord.Close())
	}
	if l.temp != "" {
		err = errors.Join(err, os.RemoveAll(l.temp))
	}
	return err
}
