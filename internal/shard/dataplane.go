package shard

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/direct"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
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

	// Transport is TransportDirect for chunks to go by direct connections where both sides can;
	// TransportNATS: over NATS; "" and TransportAuto: see GoesDirectly.
	Transport string
	// DirectAddr is the host:port for direct connections; "": the host of Listen, any port.
	// DirectAdvertise is what other processes dial; "": the host of Advertise, or where DirectAddr
	// ended up.
	DirectAddr, DirectAdvertise string
	// DirectConnections is how many this process dials to each other one; 0: 4.
	DirectConnections int
	// Direct is this process's end of direct connections, which its shards share; it stays the
	// caller's. nil: a shard makes its own, where Transport asks for one.
	Direct *direct.Node

	// identity is that of the shard's Config; nil: the cluster is open.
	identity *pki.Identity
}

// Transports that a DataPlane can be set to.
const (
	TransportAuto   = "auto"
	TransportNATS   = "nats"
	TransportDirect = "direct"
)

// GoesDirectly reports whether direct connections are to be used. By default they are in a locked
// cluster: routes between its NATS servers encrypt once more what is sealed, in records of 16 KiB,
// which takes several times what sealing does. With a NATS outside nobody has said where this
// process can be reached, unless DirectAddr does.
func (p DataPlane) GoesDirectly(locked bool) bool {
	switch p.Transport {
	case TransportDirect:
		return true
	case TransportNATS:
		return false
	}
	return locked && (p.URL == "" || p.DirectAddr != "")
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
	direct   *direct.Node   // nil: all goes over NATS
	log      *slog.Logger
}

// open connects a node, by its id, to its data plane. The caller closes the link.
func (p DataPlane) open(node string, log *slog.Logger) (*link, error) {
	l := &link{plane: p, log: log}
	if p.Hub != nil {
		return l, nil
	}
	var err error

	if l.direct, err = p.direct(log); err == nil {
		l.conn, err = l.connect(node)
	}

	if err == nil {
		l.endpoint, err = nats.NewEndpoint(l.conn, node,
			nats.Options{PeerTimeout: p.PeerTimeout, Direct: l.direct, Log: log})
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
		return natsd.Dial(l.plane.URL, l.plane.outside()...)
	}
	if l.server, err = l.plane.serve(node, l.log); err != nil {
		return nil, err
	}
	l.owned = true
	return l.server.Connect()
}

// direct returns this process's end of direct connections, which it opens where the caller has
// none; nil where they are not asked for.
func (p DataPlane) direct(log *slog.Logger) (*direct.Node, error) {
	if p.Direct != nil || !p.GoesDirectly(p.identity != nil) {
		return p.Direct, nil
	}
	host, _, err := net.SplitHostPort(cmp.Or(p.Listen, "127.0.0.1:0"))
	if err != nil {
		return nil, err
	}
	o := direct.Options{Listen: cmp.Or(p.DirectAddr, net.JoinHostPort(host, "0")),
		Advertise: p.DirectAdvertise, Connections: p.DirectConnections, Log: log}
	if host, _, err := net.SplitHostPort(p.Advertise); err == nil {
		o.AdvertiseHost = host
	}
	return direct.Listen(o)
}

// serve starts a server that other nodes' servers can reach by a route: in a locked cluster, those
// of its shards.
func (p DataPlane) serve(name string, log *slog.Logger) (*natsd.Server, error) {
	o := nats.ServerOptions(name)
	o.RouteAddr, o.Advertise = cmp.Or(p.Listen, "127.0.0.1:0"), p.Advertise
	o.Cluster = "longtake-data"
	o.Lock = natsd.Lock{Identity: p.identity, Routes: pki.RoleShard, Refused: complainOf(log)}
	return natsd.Start(o)
}

// join makes the node a rank of an attempt, which is sealed with a key if there is one. The caller
// closes the transport.
func (l *link) join(p job.Plan, rank int, key collective.Key) (collective.Transport, error) {
	if hub := l.plane.Hub; hub != nil {
		return hub.Join(string(p.Job), uint32(p.Attempt), rank, len(p.Nodes))
	}
	if l.plane.identity != nil && key.IsZero() {
		return nil, errNoKey
	}

	nodes := make([]string, len(p.Nodes))
	for i, n := range p.Nodes {
		nodes[i] = string(n)
	}
	return l.endpoint.Join(string(p.Job), uint32(p.Attempt), rank, nodes, key)
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

// sent says what the node has sent, and by which way.
func (l *link) sent() (t collective.Traffic) {
	if l.endpoint != nil {
		t = l.endpoint.Sent()
	}
	if l.direct != nil {
		s := l.direct.Stats()
		t.Connections, t.Reconnects = s.Connections, s.Reconnects
	}
	return t
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
	if l.direct != nil && l.plane.Direct == nil {
		l.direct.Close()
	}
}
