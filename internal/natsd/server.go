package natsd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/pki"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// startTime bounds how long a server may take until it accepts connections.
const startTime = 10 * time.Second

// Server is a NATS server inside this process. Its methods may be called from any goroutine.
type Server struct {
	opts    *server.Options // as given: Restart and SetRoutes begin with these
	guard   *guard
	trouble func(line string)

	end     chan struct{} // closed by Shutdown
	ending  sync.Once
	looking sync.WaitGroup // for those that were revoked

	mu     sync.Mutex // guards what follows
	ns     *server.Server
	routes []*url.URL // the latest
}

var _ nats.InProcessConnProvider = (*Server)(nil)

// Start starts a server and returns once it accepts connections. A port that is taken is an error
// that names it. The caller calls Shutdown.
func Start(o Options) (*Server, error) {
	opts, err := o.server()
	if err != nil {
		return nil, fmt.Errorf("cannot start NATS server %q: %w", o.Name, err)
	}
	s := &Server{opts: opts, trouble: o.Trouble, end: make(chan struct{}),
		guard: &guard{Lock: o.Lock, clients: o.ClientAddr != "", peers: map[uint64]peer{},
			route: map[pki.ID]bool{}}}
	s.guard.lock(opts)
	s.routes = opts.Routes
	if s.ns, err = s.launch(s.options()); err != nil {
		return nil, fmt.Errorf("cannot start NATS server %q: %w", o.Name, err)
	}

	if o.Lock.Identity != nil {
		s.looking.Go(s.look)
	}
	return s, nil
}

// lookEvery is the time between looks for connections of those that were revoked.
const lookEvery = time.Second

// look ends connections of those that were revoked, until Shutdown.
func (s *Server) look() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.end:
			return
		case <-tick.C:
			if err := s.recheck(); err != nil && s.trouble != nil {
				s.trouble("cannot end connections of those that were revoked: " + err.Error())
			}
		}
	}
}

// options returns a copy of the options. The TLS configurations are the same, not copies: NATS
// compares options when they change, and takes any two configurations for different ones.
func (s *Server) options() *server.Options {
	o := s.opts.Clone()
	o.TLSConfig, o.Cluster.TLSConfig = s.opts.TLSConfig, s.opts.Cluster.TLSConfig
	return o
}

// launch starts a server and waits until it is ready, or has said why it cannot start.
func (s *Server) launch(opts *server.Options) (*server.Server, error) {
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	l := &logger{trouble: s.trouble, guard: s.guard, fatal: make(chan string, 1)}
	ns.SetLoggerV2(l, false, false, false)
	ns.Start()
	if err := l.ready(ns); err != nil {
		stop(ns)
		return nil, err
	}
	return ns, nil
}

// stop ends a server and waits for its goroutines. Of several servers, one hands what it leads to
// the others first, and ends JetStream while all that JetStream builds on is still there. Shutdown
// takes the system account away before: the log of a stream that is created meanwhile is opened
// then, but never closed (createRaftGroup of nats-server 2.15.2, when startRaftNode fails).
func stop(ns *server.Server) {
	settle(ns)
	if ns.JetStreamIsClustered() {
		ns.LameDuckShutdown()
	}
	ns.Shutdown()
	ns.WaitForShutdown()
}

const (
	settleTime = 5 * time.Second // for what JetStream still does when its server is to end
	settlePoll = time.Millisecond
)

// settle waits until JetStream has done what it was asked for. A server that shuts down closes the
// streams that it has by then. One that is still being created comes after them: nothing closes it,
// and its files and goroutines stay until the process ends (addStreamWithAssignment of nats-server
// 2.15.2, whose last look at whether the server goes on is its first step).
func settle(ns *server.Server) {
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(settlePoll) {
		j, err := ns.Jsz(nil)
		if err != nil || j.Disabled || j.API.Inflight == 0 {
			return
		}
	}
}

// Restart ends the server and starts another one with the same files on the same ports. Clients
// that reconnect find it. After an error there is no server; Restart may be called again. As with
// Shutdown, no client may ask JetStream for a new stream meanwhile.
func (s *Server) Restart() error {
	old := s.current()
	opts := s.options()
	if a, ok := old.Addr().(*net.TCPAddr); ok && a != nil {
		opts.Port = a.Port
	}
	if a := old.ClusterAddr(); a != nil {
		opts.Cluster.Port = a.Port
	}
	stop(old)

	ns, err := s.launch(opts)
	if err != nil {
		return fmt.Errorf("cannot restart NATS server %q: %w", opts.ServerName, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns = ns
	return nil
}

// current returns the running server.
func (s *Server) current() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ns
}

// SetRoutes replaces the routes to other servers, without touching connections that stay.
func (s *Server) SetRoutes(routes []string) error {
	urls, err := parseRoutes(routes)
	if err != nil {
		return fmt.Errorf("cannot set the routes: %w", err)
	}
	s.mu.Lock()
	s.routes = urls
	s.mu.Unlock()
	return s.reload(urls)
}

// reload has the server change to other routes.
func (s *Server) reload(routes []*url.URL) error {
	next := s.options()
	next.Routes = routes
	if err := s.current().ReloadOptions(next); err != nil {
		return fmt.Errorf("cannot set the routes: %w", err)
	}
	return nil
}

// recheck ends the connections of clients and servers that were revoked since they came. NATS ends
// a route that this server has dialled only where it is to have none: so all of those end, and
// those that are still believed come back.
func (s *Server) recheck() error {
	if !s.guard.recheck() {
		return nil
	}
	s.mu.Lock()
	routes := s.routes
	s.mu.Unlock()
	return errors.Join(s.reload(nil), s.reload(routes))
}

// InProcessConn implements nats.InProcessConnProvider: it connects a client without a socket. A
// client that reconnects after Restart reaches the new server.
func (s *Server) InProcessConn() (net.Conn, error) { return s.current().InProcessConn() }

// ClientURL returns what clients dial, or "" where only those in this process may connect. A
// wildcard host is given as the loopback address.
func (s *Server) ClientURL() string {
	if a, ok := s.current().Addr().(*net.TCPAddr); ok && a != nil && s.guard.clients {
		return "nats://" + reachable(a)
	}
	return ""
}

// RouteURL returns what other servers name in Routes, or "" without a route address. A wildcard
// host is given as the loopback address.
func (s *Server) RouteURL() string {
	a := s.current().ClusterAddr()
	if a == nil {
		return ""
	}
	return "nats-route://" + reachable(a)
}

func reachable(a *net.TCPAddr) string {
	host := a.IP.String()
	if a.IP.IsUnspecified() {
		host = loopback
	}
	return net.JoinHostPort(host, strconv.Itoa(a.Port))
}

// Shutdown stops the server and waits until its goroutines have ended. JetStream does first what it
// was asked for; who may have asked for a new stream has flushed its connection, and asks no more.
func (s *Server) Shutdown() {
	s.ending.Do(func() { close(s.end) })
	s.looking.Wait()
	stop(s.current())
}

// logger is where the server logs to: it keeps the first fatal line and passes errors on.
type logger struct {
	trouble func(line string)
	guard   *guard
	fatal   chan string // holds one line
}

// ready waits until the server accepts connections or has said why it cannot.
func (l *logger) ready(ns *server.Server) error {
	for end := time.Now().Add(startTime); time.Now().Before(end); {
		if ns.ReadyForConnections(20 * time.Millisecond) {
			return nil
		}
		select {
		case line := <-l.fatal:
			return errors.New(line)
		default:
		}
	}
	return fmt.Errorf("it is not ready after %v", startTime)
}

// Fatalf keeps the line for ready. NATS would exit the process here; a library must not.
func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}

// Errorf passes the line on.
func (l *logger) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	if !l.guard.heard(line) && l.trouble != nil {
		l.trouble(line)
	}
}

// Warnf drops the line.
func (l *logger) Warnf(string, ...any) {}

// Noticef drops the line.
func (l *logger) Noticef(string, ...any) {}

// Debugf drops the line.
func (l *logger) Debugf(string, ...any) {}

// Tracef drops the line.
func (l *logger) Tracef(string, ...any) {}
