package shard

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/compute"
)

// Config says where a shard runs and whom it works for.
type Config struct {
	Name    string // for people; need not be unique
	Model   string // folder of the model; "" is the embedded demo
	Device  string // DeviceCPU, DeviceCUDA or DeviceAuto; "" is DeviceCPU
	Threads int    // of the CPU device; 0: all cores
	// DecodeThreads are those that rank 0 decodes with, while other shards of the process wait;
	// 0: Threads.
	DecodeThreads int
	// DType is what the model is loaded for; a job of the other type loads it again.
	DType   compute.DType
	TempDir string // for clips being encoded; "": the system's
	Log     *slog.Logger

	// Control is the coordinators' NATS: a URL, or a list separated by commas.
	Control string
	// ControlOptions reach it in other ways, such as within the process.
	ControlOptions []natsio.Option

	// Data is how ranks exchange activations.
	Data DataPlane

	// afterStep, where set, holds every rank at its step boundaries: tests set the pace with it.
	afterStep  func(ctx context.Context, done int)
	fenceAfter time.Duration // how long a rank may take to stop; 0: 30 s
}

// DataPlane chooses one way to reach the other ranks; the first one that is set is used.
type DataPlane struct {
	Hub    *mem.Hub     // ranks of this process hand slices over
	Server *nats.Server // a server in this process that its shards share
	URL    string       // a NATS cluster that runs already
	Listen string       // host:port of an own server's routes; "" is 127.0.0.1:0
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
	server   *nats.Server // own one, or nil
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
		return l.plane.Server.Connect()
	case l.plane.URL != "":
		return nats.Dial(l.plane.URL)
	}
	listen := l.plane.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	opts := nats.ServerOptions{Name: node, RouteAddr: listen, Advertise: l.plane.Advertise,
		ClusterName: "longtake-data"}
	if l.server, err = nats.StartServer(opts); err != nil {
		return nil, err
	}
	return l.server.Connect()
}

// route returns what other nodes' servers dial, "" when there is no own server.
func (l *link) route() string {
	switch {
	case l.server == nil:
		return ""
	case l.plane.Advertise != "":
		return "nats-route://" + l.plane.Advertise
	}
	return l.server.RouteURL()
}

// setRoutes joins the own server with the others.
func (l *link) setRoutes(routes []string) error {
	if l.server == nil {
		return nil
	}
	others := make([]string, 0, len(routes))
	for _, r := range routes {
		if r != "" && r != l.route() {
			others = append(others, r)
		}
	}
	return l.server.SetRoutes(others)
}

func (l *link) close() {
	if l.endpoint != nil {
		l.endpoint.Close()
	}
	if l.conn != nil {
		l.conn.Close()
	}
	if l.server != nil {
		l.server.Shutdown()
	}
}
