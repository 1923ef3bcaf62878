package natsd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Options configure an embedded server.
type Options struct {
	// Name is unique in the cluster.
	Name string
	// ClientAddr is the host:port for clients, port 0 for any; "" takes in-process clients only.
	ClientAddr string

	// RouteAddr is the host:port for other servers, port 0 for any; "" for a server that is alone.
	RouteAddr string
	// Advertise is the host:port that other servers dial; "" means RouteAddr.
	Advertise string
	// Routes are URLs nats-route://host:port of other servers. A server learns further ones from
	// those it reaches, unless they are Private.
	Routes []string
	// Cluster is the name of the cluster, the same on all servers with routes.
	Cluster string
	// Private keeps the server's addresses from what other servers tell their clients.
	Private bool

	// StoreDir is the folder of JetStream's files; "" for a server without JetStream. Every write is
	// synced to the disk. A cluster of servers with JetStream needs a majority to be up.
	StoreDir string

	// PayloadMax is the largest message, PendingMax what is buffered for one client or route before
	// it is cut off, both in bytes; 0 takes NATS's own limits (1 MiB and 64 MiB).
	PayloadMax, PendingMax int
	// WriteTimeout cuts off a client or route that takes no bytes for that long; 0: NATS's 10 s.
	WriteTimeout time.Duration

	// Lock closes the server to all but the processes of a cluster; the zero value leaves it open.
	Lock Lock

	// Trouble is called with each error line of the server, from any of its goroutines; nil drops
	// them.
	Trouble func(line string)
}

const (
	loopback       = "127.0.0.1"
	defaultCluster = "longtake"

	// storeMax is JetStream's own limit. Without one it takes three quarters of what is free when it
	// starts, and may then refuse what it holds already. The coordinator watches the disk itself.
	storeMax = 1 << 60
)

// server translates the options into those of NATS.
func (o Options) server() (*server.Options, error) {
	out := &server.Options{
		ServerName: o.Name, NoSigs: true, Host: loopback, DontListen: o.ClientAddr == "",
		MaxPayload: int32(o.PayloadMax), MaxPending: int64(o.PendingMax), //nolint:gosec // small
		WriteDeadline: o.WriteTimeout, DisableJetStreamBanner: true,
		LameDuckDuration: time.Millisecond, LameDuckGracePeriod: -1, // at once; see stop
	}
	if o.StoreDir != "" {
		out.JetStream, out.StoreDir = true, o.StoreDir
		out.SyncAlways, out.JetStreamMaxStore = true, storeMax
	}

	var err error
	if o.ClientAddr != "" {
		if out.Host, out.Port, err = splitAddress("client", o.ClientAddr); err != nil {
			return nil, err
		}
	}
	if o.RouteAddr == "" {
		if len(o.Routes) > 0 {
			return nil, errors.New("routes to others need a route address of its own")
		}
		return out, nil
	}

	// A pool size below 0 is one connection between two servers, which keeps messages in order.
	out.Cluster = server.ClusterOpts{Name: o.Cluster, PoolSize: -1, NoAdvertise: o.Private,
		Advertise:   o.Advertise,
		Compression: server.CompressionOpts{Mode: server.CompressionOff}}
	if o.Cluster == "" {
		out.Cluster.Name = defaultCluster
	}
	if out.DontListen { // NATS opens routes only after a client listener: give it one on loopback
		out.DontListen, out.Port = false, server.RANDOM_PORT
		out.Cluster.NoAdvertise = true
	}
	out.Cluster.Host, out.Cluster.Port, err = splitAddress("route", o.RouteAddr)
	if err != nil {
		return nil, err
	}
	out.Routes, err = parseRoutes(o.Routes)
	return out, err
}

// splitAddress splits host:port; port 0 becomes NATS's number for any port.
func splitAddress(what, addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%s address is %q; allowed: host:port", what, addr)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%s address is %q; allowed: a port from 0 to 65535", what, addr)
	}
	if n == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(n), nil
}

func parseRoutes(routes []string) ([]*url.URL, error) {
	urls := make([]*url.URL, 0, len(routes))
	for _, r := range routes {
		u, err := url.Parse(r)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("route is %q; allowed: a URL such as nats-route://host:port", r)
		}
		urls = append(urls, u)
	}
	return urls, nil
}
