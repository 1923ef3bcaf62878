package shard

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/natsd"
)

// DataPlane chooses one way to reach the other ranks; the first field that is set is used. All
// shards of a cluster have to use the same.
type DataPlane struct {
	// Hub connects ranks of this process, which pass slices to each other.
	Hub *mem.Hub
	// Server is a NATS server in this process that its shards share; it stays the caller's.
	Server *natsd.Server
	// URL is a NATS cluster that runs already.
	URL string
	// Listen is the host:port for the routes of a server of the shard's own; "" is 127.0.0.1:0.
	Listen string
	// Advertise is the route host:port that other nodes dial; "": where Listen ended up.
	Advertise string
	// PeerTimeout is how long a silent rank is waited for; 0: 30 s.
	PeerTimeout time.Duration
}

// inProcess reports whether the ranks are in one process.
func (p DataPlane) inProcess() bool { return p.Hub != nil || p.Server != nil }

// link is a node's end of the data plane, open from its start to its end.
type link struct {
	plane    DataPlane
	server   *natsd.Server  // one in this process, or nil
	owned    bool           // the server ends with the link
	conn     *natsio.Conn   // nil with a Hub
	endpoint *nats.Endpoint // nil with a Hub
}

// open connects a node, by its id, to its data plane. The caller closes the link.
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

// connect opens the NATS connection, and the server that it needs.
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
	l.owned = true
	return l.server.Connect()
}

// serve starts a server that other nodes' servers can reach by a route.
func (p DataPlane) serve(name string) (*natsd.Server, error) {
	o := nats.ServerOptions(name)
	o.RouteAddr, o.Advertise = cmp.Or(p.Listen, "127.0.0.1:0"), p.Advertise
	o.Cluster = "longtake-data"
	return natsd.Start(o)
}

// join makes the node a rank of an attempt. The caller closes the transport.
func (l *link) join(p job.Plan, rank int) (collective.Transport, error) {
	if hub := l.plane.Hub; hub != nil {
		return hub.Join(string(p.Job), uint32(p.Attempt), rank, len(p.Nodes))
	}
	nodes := make([]string, len(p.Nodes))
	for i, n := range p.Nodes {
		nodes[i] = string(n)
	}
	return l.endpoint.Join(string(p.Job), uint32(p.Attempt), rank, nodes)
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

// setRoutes connects the server to those of the other nodes, and to no others. routes are all
// nodes', this one's included, as the leader sends them.
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

// close ends the connection, which ends transports that are still open, and a server of the link's
// own.
func (l *link) close() {
	if l.endpoint != nil {
		l.endpoint.Close()
	}
	if l.conn != nil {
		l.conn.Close()
	}
	if l.owned {
		l.server.Shutdown()
	}
}
