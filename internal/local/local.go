// Package local runs a whole cluster in one process: a coordinator, its HTTP API and shards. It is
// what `longtake generate` and `longtake up` start. All parts are the ones that run as processes of
// their own elsewhere; only the way between them is shorter, as shards reach the coordinator's NATS
// in the process, and may exchange activations through memory.
//
// Start brings the coordinator up while the shards load the model, which takes longer. A shard that
// ends by itself is started again: see keeper. Close stops everything in reverse.
package local

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/pool"
	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/shard"
)

// Limits of the shards of one process. Two are enough to see a clip being split; the upper limit
// only keeps a slip of the finger from filling the memory.
const (
	DefaultShards = 2
	ShardsMax     = 64
)

// Config describes a whole cluster in this process. Read takes most of it from the settings.
type Config struct {
	// The model, and how it is computed.
	Models    []shard.ModelDir  // none: the built-in one
	LoRAs     map[string]string // paths of files, by the names under which jobs ask for them
	Shards    int
	GPUs      []int  // by number, which shards take in turn; none: the CPU
	Threads   int    // of each shard on the CPU; 0: the cores, shared out
	Transport string // "nats" or "mem"
	Experts   engine.Residency
	VAEDType  string // of convolutions on GPUs; "": fp32
	DType     string // that models are loaded for; "": what the devices are made for

	// ForgetTexts has every text encoded again for each job, as in shard.Config.
	ForgetTexts bool

	idleGPU bool // this machine has a GPU that this program cannot use

	// Where jobs and clips are kept.
	Data string // directory that stays; "": one that goes with the cluster
	// Checkpoints are written also where the directory goes with the cluster.
	Checkpoints bool

	// The HTTP API: see api.Config for the access to it.
	Listen string // host:port of the API
	// Identity is what the API speaks TLS with; nil: plain HTTP.
	Identity *pki.Identity
	Insecure string   // as in api.Config
	Hosts    []string // names for it, besides those of Listen
	Origins  []string // of web pages elsewhere that may use it
	Clients  api.Clients
	// Auth says who may use it. LocalKey lets in who has the local key, too.
	Auth     api.Auth
	LocalKey bool
	// RequestTime is how long a clip may be predicted to take; 0: no limit.
	RequestTime time.Duration
	Storage     coord.Limits // those that coord.ReadStorage reads
	Pricing     *price.Sheet // what clips cost; nil: nothing
	Log         *slog.Logger
	// Listening, where set, is called once the API has its port, before any shard starts; its error
	// ends the start.
	Listening func() error
}

// Read takes the settings of a cluster of one process; shards is what a mesh asks for, or 0.
// Threads that are not set are the machine's cores, shared out. A value that is not allowed is a
// usage error.
func Read(v *config.Values, shards int, log *slog.Logger) (Config, error) {
	c := Config{Shards: cmp.Or(v.Int("shards"), shards), Threads: v.Int("threads"),
		Transport: v.String("transport"), Listen: "127.0.0.1:0", Auth: api.OpenAuth(),
		RequestTime: max(0, v.Duration("limits.request-time")), Log: log}

	var err error
	if err = c.ChooseDevices(v); err != nil {
		return c, err
	}
	if c.Shards == 0 {
		c.Shards = cmp.Or(len(c.GPUs), DefaultShards)
	}
	if c.Models, err = shard.ParseModels(v.Paths("model")); err != nil {
		return c, daemon.Usage(err)
	}

	// Errors name flags, as both commands that read these settings have them.
	if c.Shards < 1 || c.Shards > ShardsMax {
		return c, daemon.Usagef("--shards is %d; allowed: 1 to %d in one process", c.Shards, ShardsMax)
	}
	if c.Threads < 0 || c.Threads > 1024 {
		return c, daemon.Usagef("--threads is %d; allowed: 0 (the cores, shared out) to 1024", c.Threads)
	}

	// At least one each: to a shard, 0 would mean all cores.
	if c.Threads == 0 {
		c.Threads = max(1, runtime.NumCPU()/c.Shards)
	}
	if c.Transport != "nats" && c.Transport != "mem" {
		return c, daemon.Usagef("--transport is %q; allowed: nats, mem", c.Transport)
	}
	if c.Pricing, err = coord.ReadPricing(v); err != nil {
		return c, err
	}
	if c.Experts, err = engine.ParseResidency(v.String("experts")); err != nil {
		return c, daemon.Usagef("--%v", err)
	}
	return c, nil
}

// Cluster is a running cluster in this process. Its methods are for one goroutine.
type Cluster struct {
	// URL of the HTTP API.
	URL string
	// The parts, nil where Start has not come to them. data is the NATS server over which shards
	// exchange activations, nil where they do so through memory.
	coord   *coord.Coordinator
	data    *natsd.Server
	shards  []*keeper
	weights *pool.Pool // of the models that the shards on the CPU have loaded
	// texts are the embeddings that the shards remember, also those that are started again.
	texts engine.TextCache
	// process lets shards on GPUs pass each other what they exchange by reference; nil on the CPU.
	process *shard.Process
	// temp is a folder that Close removes: clips being encoded, and the data of a cluster without any
	// of its own.
	temp string
	// leave ends the goroutines that restart shards, keeping waits for them.
	leave   context.CancelFunc
	keeping sync.WaitGroup
	// stop ends the HTTP API; nil until it serves.
	stop context.CancelFunc
	// served is closed when the API has ended; serveErr then says why, and is not read before.
	served   chan struct{}
	serveErr error
}

// Start brings a cluster up and returns once every shard is registered. If a part fails, those that
// run are stopped and the error is returned: the coordinator's first, as what shards say follows
// from it. The caller closes the cluster.
func Start(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	l := &Cluster{served: make(chan struct{})}
	if len(cfg.GPUs) > 0 {
		l.process = shard.NewProcess() // and each GPU has weights of its own
	} else {
		l.weights = shard.NewPool(len(cfg.Models), false)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()

	// Shards encode clips here also where the data stays elsewhere.
	if l.temp, err = os.MkdirTemp("", "longtake-"); err != nil {
		return l, fmt.Errorf("cannot create a directory: %w", err)
	}

	// Surveys of models are kept where the data is, or else with those of other runs.
	cache := filepath.Join(cfg.Data, "models")
	if cfg.Data == "" {
		cfg.Data, cache = l.temp, shard.DefaultCache()
	}

	// The port comes first, as the coordinator has to know its own URL.
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return l, fmt.Errorf("cannot listen for HTTP: %w", err)
	}

	l.URL = cfg.scheme() + listener.Addr().String()
	if err = cfg.prepare(); err != nil {
		listener.Close()
		return l, err
	}

	// Checkpoints are for a shard that is lost while others live. In a cluster that leaves nothing
	// behind, all of it would be lost together.
	every := 1 // step
	if cfg.Data == l.temp && !cfg.Checkpoints {
		every = 0
	}

	// The coordinator starts once, when the first of the shards needs it at the latest.
	lead := sync.OnceValue(func() (err error) {
		limits := cfg.Storage
		limits.RequestTime = &cfg.RequestTime
		l.coord, err = coord.Start(ctx, coord.Config{Data: cfg.Data, HTTP: l.URL, Version: daemon.Version,
			CheckpointEvery: &every, Pricing: cfg.Pricing, Log: cfg.Log,
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

// scheme is how the URL of the API begins.
func (c Config) scheme() string {
	if c.Identity == nil {
		return "http://"
	}
	return "https://"
}

// prepare does what comes between the port and the coordinator: the data's folder and the local key
// are there then, and the user is told that it starts.
func (c *Config) prepare() error {
	if err := os.MkdirAll(c.Data, 0o750); err != nil {
		return daemon.Usagef("--data: %w", err)
	}
	if c.LocalKey {
		if _, err := c.Auth.UseLocalKey(c.Data); err != nil {
			return err
		}
	}
	if c.Listening != nil {
		return c.Listening()
	}
	return nil
}

// serve answers the HTTP API until stop is called, in a goroutine of its own. It outlives ctx:
// after Ctrl-C, generate still cancels its job through the API. Close calls stop.
func (l *Cluster) serve(ctx context.Context, listener net.Listener, cfg Config) {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	h := api.New(api.Config{Service: l.coord, Metrics: l.coord.Metrics(), Log: cfg.Log,
		Hosts: api.Hosts(cfg.Hosts, cfg.Listen, l.URL), Origins: cfg.Origins,
		Clients: cfg.Clients, Insecure: cfg.Insecure, Auth: cfg.Auth})
	var secure *tls.Config
	if cfg.Identity != nil {
		secure = cfg.Identity.Server()
	}
	go func() {
		defer close(l.served)
		l.serveErr = api.ServeTLS(run, listener, secure, h)
	}()
}

// startShards starts the shards in parallel and waits for all: each loads the model, then waits for
// lead. From then on a goroutine for each starts it again when it ends.
func (l *Cluster) startShards(ctx context.Context, cfg Config, cache string,
	lead func() error) (err error) {
	var plane shard.DataPlane
	if cfg.Transport == "mem" {
		plane.Hub = new(mem.Hub)
	} else if l.data, err = natsd.Start(nats.ServerOptions("data")); err != nil {
		return err
	} else {
		plane.Server = l.data
	}

	// The watch ends with Close, and not with ctx: a job that is being cancelled needs its shards.
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
			return err // the other shards have most likely failed for the same reason
		}
	}
	return nil
}

// startShard starts shard i and returns once it is registered.
func (l *Cluster) startShard(ctx context.Context, cfg Config, i int, plane shard.DataPlane,
	cache string, lead func() error) (*shard.Shard, error) {
	device, gpu := cfg.deviceOf(i)
	s, err := shard.Start(ctx, shard.Config{Version: daemon.Version, Device: device, GPU: gpu,
		Process: l.process,
		Name:    fmt.Sprintf("shard-%d", i), Models: cfg.Models, AllModels: true,
		LoRAs:   cfg.LoRAs,
		Threads: cfg.Threads, DecodeThreads: cfg.Threads * cfg.Shards, DType: cfg.DType,
		VAEDType: cfg.VAEDType,
		Experts:  cfg.Experts, Sharers: cfg.Shards, Weights: l.weights, Texts: &l.texts,
		ForgetTexts: cfg.ForgetTexts,
		TempDir:     l.temp, Cache: cache, Log: cfg.Log, Data: plane,
		AfterLoad: daemon.TuneRuntime, ReleaseMemory: debug.FreeOSMemory,
		ControlOptions: func() ([]shard.ControlOption, error) {
			if err := lead(); err != nil {
				return nil, err
			}
			return []shard.ControlOption{l.coord.NATS()}, nil
		}})
	if err != nil {
		return nil, err
	}

	// A shard that is not registered yet gets no jobs: the first one would be queued for want of
	// shards.
	if err := s.Registered(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Models returns what the shards serve; all of them have the same.
func (l *Cluster) Models() job.Models { return l.shards[0].current().(*shard.Shard).Models() }

// Close stops everything, in reverse of the start, and removes what was temporary. It may be called
// on a cluster of which only a part has started.
func (l *Cluster) Close() error {
	if l.leave != nil {
		l.leave()
	}
	// The watchers first, or they would start again what is being stopped.
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
		<-l.served
		err = l.serveErr
	}

	if l.coord != nil {
		err = errors.Join(err, l.coord.Close())
	}
	if l.temp != "" {
		err = errors.Join(err, os.RemoveAll(l.temp))
	}
	return err
}

// Wait returns nil when ctx ends, or the reason why the cluster cannot go on without being told to
// stop. The caller closes the cluster in either case.
func (l *Cluster) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.coord.Ended():
		return l.coord.Err()
	case <-l.served:
		return errors.Join(errors.New("the API has stopped"), l.serveErr)
	}
}
