package shard

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/natsd"
)

// DefaultCache is a Config's Cache where nobody says otherwise, "" for a user without such a place.
func DefaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "longtake")
}

// ControlOption is an option of NATS' client.
type ControlOption = natsio.Option

// Config says where a shard runs and whom it works for.
type Config struct {
	Name    string // for people; need not be unique
	Version string // of the program, for people
	Model   string // folder of the model; "" is the embedded demo
	Device  string // DeviceCPU, DeviceCUDA or DeviceAuto; "" is DeviceCPU
	GPU     int    // number of the GPU, where Device is one
	GPUs    string // of a Machine: "all", or numbers separated by commas; "": what Device says
	Threads int    // of the CPU device; 0: all cores
	// DecodeThreads are those that rank 0 decodes with, while other shards of the process wait;
	// 0: Threads.
	DecodeThreads int
	// Sharers is how many shards of this process share the memory of its machine; 0: this one alone.
	Sharers int
	// DType is what the model is loaded for; a job of the other type loads it again.
	DType   compute.DType
	TempDir string // for clips being encoded; "": the system's
	// Cache is a folder that remembers what was read of a model's files; "": they are read again with
	// every start.
	Cache string
	Log   *slog.Logger

	// Control is the coordinators' NATS: a URL, or a list separated by commas.
	Control string
	// ControlOptions reach it in other ways, such as within the process; nil: none. It is called when
	// the model is loaded, and may wait.
	ControlOptions func() ([]ControlOption, error)

	// Data is how ranks exchange activations.
	Data DataPlane

	// AfterLoad is called once the weights are loaded, before the memory that they leave for clips is
	// measured; nil: nothing. A program bounds the garbage collector there.
	AfterLoad func()
	// ReleaseMemory is called when much memory has become free: after a rank's denoising and after its
	// clip; nil: nothing. A program gives it back to the system there.
	ReleaseMemory func()

	process *process // what the shards of a Machine share; nil: a shard of its own

	// afterStep, where set, holds every rank at its step boundaries: tests set the pace with it.
	afterStep  func(ctx context.Context, done int)
	fenceAfter time.Duration // see fence; 0: 30 s
}

// DataPlane chooses one way to reach the other ranks; the first one that is set is used.
type DataPlane struct {
	Hub    *mem.Hub      // ranks of this process hand slices over
	Server *natsd.Server // a server in this process that its shards share; it stays the caller's
	URL    string        // a NATS cluster that runs already
	Listen string        // host:port of an own server's routes; "" is 127.0.0.1:0
	// Advertise is the route host:port that other nodes dial; "": where Listen ended up.
	Advertise string
	// PeerTimeout is how long a silent rank is waited for; 0: 30 s.
	PeerTimeout time.Duration
}

// inProcess reports whether the ranks are in one process.
func (p DataPlane) inProcess() bool { return p.Hub != nil || p.Server != nil }

// link is an open data plane.
type link struct {
	plane    DataPlane
	server   *natsd.Server // one in this process, or nil
	own      bool          // the server is nobody else's
	conn     *natsio.Conn
	endpoint *nats.Endpoint
}

// open connects the node to its data plane.
func (p DataPlane) open(node string) (*link, error) {
	l := &link{plane: p}
	if p.Hub != nil {
		return l, nil
	}
	var err error
	if l.conn, err = l.connect(node); err == nil {
		l.endpoint, err = nats.NewEndpoint(l.conn, node, nats.Options{PeerTimeout: p.PeerTimeout})
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("cannot open the data plane: %w", err)
	}
	return l, nil
}

func (l *link) connect(node string) (conn *natsio.Conn, err error) {
	switch {
	case l.plane.Server != nil:
		l.server = l.plane.Server
		return l.server.Connect()
	case l.plane.URL != "":
		return natsd.Dial(l.plane.URL)
	}
	if l.server, err = l.plane.serve(node); err != nil {
		return nil, err
	}
	l.own = true
	return l.server.Connect()
}

// serve starts a server that others find.
func (p DataPlane) serve(name string) (*natsd.Server, error) {
	o := nats.ServerOptions(name)
	o.RouteAddr, o.Advertise = cmp.Or(p.Listen, "127.0.0.1:0"), p.Advertise
	o.Cluster = "longtake-data"
	return natsd.Start(o)
}

// route returns what other nodes' servers dial, "" when there is no server that they reach.
func (l *link) route() string {
	switch {
	case l.server == nil:
		return ""
	case l.plane.Advertise != "":
		return "nats-route://" + l.plane.Advertise
	}
	return l.server.RouteURL()
}

// setRoutes joins the server with the others.
func (l *link) setRoutes(routes []string) error {
	if l.route() == "" {
		return nil
	}
	others := make([]string, 0, len(routes))
	for _, r := range routes {
		if r != "" && r != l.route() {
			others = append(others, r)
		}
	}
	slices.Sort(others)
	return l.server.SetRoutes(slices.Compact(others)) // shards of a machine have the same one
}

func (l *link) close() {
	if l.endpoint != nil {
		l.endpoint.Close()
	}
	if l.conn != nil {
		l.conn.Close()
	}
	if l.own {
		l.server.Shutdown()
	}
}
