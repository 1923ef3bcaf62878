package nats

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	natsio "github.com/nats-io/nats.go"
)

// ServerOptions configure an embedded server.
type ServerOptions struct {
	Name        string   // unique in the cluster
	ClientAddr  string   // host:port for clients; "": in-process clients only
	RouteAddr   string   // host:port for other servers, port 0: any; "": none
	Advertise   string   // host:port that other servers dial; "": RouteAddr
	Routes      []string // nats-route://host:port of other servers; others are learned from them
	ClusterName string   // the same on all servers with routes; default "longtake"
	StoreDir    string   // JetStream's files; "": no JetStream. With routes it needs a quorum.
}

const (
	payloadMax   = 8 << 20
	pendingBytes = 256 << 20 // buffered for one client or route before it is cut off
	startTime    = 10 * time.Second
	loopback     = "127.0.0.1"
)

// Server is a NATS server inside this process. It logs nothing and handles no signals.
type Server struct {
	ns   *natsd.Server
	opts natsd.Options // as given, for SetRoutes
	in   bool          // for clients in the process only
}

// StartServer starts a server and returns once it accepts connections. A taken port is an error
// that names it.
func StartServer(o ServerOptions) (*Server, error) {
	opts, err := o.natsd()
	if err != nil {
		return nil, fmt.Errorf("cannot start NATS server %q: %w", o.Name, err)
	}
	ns, err := natsd.NewServer(opts.Clone())
	if err != nil {
		return nil, fmt.Errorf("cannot start NATS server %q: %w", o.Name, err)
	}
	log := &fatalLog{said: make(chan string, 1)}
	ns.SetLoggerV2(log, false, false, false)
	ns.Start()
	if err := log.ready(ns); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("cannot start NATS server %q: %w", o.Name, err)
	}
	return &Server{ns: ns, opts: *opts, in: o.ClientAddr == ""}, nil
}

// natsd translates the options.
func (o ServerOptions) natsd() (*natsd.Options, error) {
	opts := &natsd.Options{
		ServerName: o.Name, NoSigs: true, Host: loopback, DontListen: o.ClientAddr == "",
		MaxPayload: payloadMax, MaxPending: pendingBytes, WriteDeadline: 30 * time.Second,
		JetStream: o.StoreDir != "", StoreDir: o.StoreDir, DisableJetStreamBanner: true,
	}
	var err error
	if o.ClientAddr != "" {
		if opts.Host, opts.Port, err = splitAddr("client", o.ClientAddr); err != nil {
			return nil, err
		}
	}
	if o.RouteAddr == "" {
		if len(o.Routes) > 0 {
			return nil, errors.New("routes to others need an own route address")
		}
		return opts, nil
	}
	opts.Cluster = natsd.ClusterOpts{Name: o.ClusterName, PoolSize: -1, NoAdvertise: opts.DontListen,
		Compression: natsd.CompressionOpts{Mode: natsd.CompressionOff}}
	if opts.Cluster.Name == "" {
		opts.Cluster.Name = "longtake"
	}
	if opts.DontListen { // routing waits for the client listener: give it a private one
		opts.DontListen, opts.Port = false, natsd.RANDOM_PORT
	}
	opts.Cluster.Advertise = o.Advertise
	opts.Cluster.Host, opts.Cluster.Port, err = splitAddr("route", o.RouteAddr)
	if err != nil {
		return nil, err
	}
	opts.Routes, err = parseRoutes(o.Routes)
	return opts, err
}

// splitAddr splits host:port; port 0 becomes the server's word for any port.
func splitAddr(what, addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%s address %q is not host:port", what, addr)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%s address %q: the port is not in 0..65535", what, addr)
	}
	if n == 0 {
		return host, natsd.RANDOM_PORT, nil
	}
	return host, int(n), nil
}

func parseRoutes(routes []string) ([]*url.URL, error) {
	urls := make([]*url.URL, 0, len(routes))
	for _, r := range routes {
		u, err := url.Parse(r)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("route %q is not a URL such as nats-route://host:port", r)
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// SetRoutes replaces the explicit routes, without touching connections that stay.
func (s *Server) SetRoutes(routes []string) error {
	urls, err := parseRoutes(routes)
	if err != nil {
		return fmt.Errorf("cannot set the routes: %w", err)
	}
	next := s.opts
	next.Routes = urls
	if err := s.ns.ReloadOptions(next.Clone()); err != nil {
		return fmt.Errorf("cannot set the routes: %w", err)
	}
	return nil
}

// Connect returns a client within the process. The caller closes it.
func (s *Server) Connect() (*natsio.Conn, error) {
	nc, err := natsio.Connect("", clientOptions(natsio.InProcessServer(s.ns))...)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the embedded NATS server: %w", err)
	}
	return nc, nil
}

// Dial connects to a NATS server outside, such as nats://host:4222. The caller closes it.
func Dial(url string) (*natsio.Conn, error) {
	nc, err := natsio.Connect(url, clientOptions()...)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to NATS at %s: %w", url, err)
	}
	return nc, nil
}

// clientOptions let a client reconnect for ever, without a word on the standard error.
func clientOptions(more ...natsio.Option) []natsio.Option {
	return append([]natsio.Option{
		natsio.MaxReconnects(-1), natsio.ReconnectWait(250 * time.Millisecond),
		natsio.ErrorHandler(func(*natsio.Conn, *natsio.Subscription, error) {}),
	}, more...)
}

// RouteURL returns what other servers name in Routes, or "" without a route address. A wildcard
// host is given as the loopback address.
func (s *Server) RouteURL() string {
	a := s.ns.ClusterAddr()
	if a == nil {
		return ""
	}
	return "nats-route://" + reachable(a)
}

// ClientURL returns what clients dial, or "" where there are in-process clients only.
func (s *Server) ClientURL() string {
	if a, ok := s.ns.Addr().(*net.TCPAddr); ok && a != nil && !s.in {
		return "nats://" + reachable(a)
	}
	return ""
}

func reachable(a *net.TCPAddr) string {
	host := a.IP.String()
	if a.IP.IsUnspecified() {
		host = loopback
	}
	return net.JoinHostPort(host, strconv.Itoa(a.Port))
}

// NumRoutes returns the number of route connections that are up.
func (s *Server) NumRoutes() int { return s.ns.NumRoutes() }

// Shutdown stops the server and waits until its goroutines have ended.
func (s *Server) Shutdown() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// fatalLog is the server's logger: it drops everything but the first fatal line.
type fatalLog struct{ said chan string }

// Fatalf keeps the line for ready.
func (l *fatalLog) Fatalf(format string, v ...any) {
	select {
	case l.said <- fmt.Sprintf(format, v...):
	default:
	}
}

// Noticef drops the line.
func (l *fatalLog) Noticef(string, ...any) {}

// Warnf drops the line.
func (l *fatalLog) Warnf(string, ...any) {}

// Errorf drops the line.
func (l *fatalLog) Errorf(string, ...any) {}

// Debugf drops the line.
func (l *fatalLog) Debugf(string, ...any) {}

// Tracef drops the line.
func (l *fatalLog) Tracef(string, ...any) {}

// ready waits until the server accepts connections or has said why it cannot.
func (l *fatalLog) ready(ns *natsd.Server) error {
	for end := time.Now().Add(startTime); ; {
		select {
		case line := <-l.said:
			return errors.New(line)
		default:
		}
		if ns.ReadyForConnections(30 * time.Millisecond) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("it is not ready after %v", startTime)
		}
	}
}
