package coord

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	brokerStart = 10 * time.Second
	clusterName = "longtake-coordinators"

	// storeMax is JetStream's own limit. Without one it takes three quarters of what is free at its
	// start, and may then refuse what it holds; how much is too much, space knows.
	storeMax = 1 << 60
)

// broker is the embedded NATS server with JetStream, and this coordinator's client of it.
type broker struct {
	cfg   Config
	opts  *natsd.Options
	conn  *nats.Conn
	local bool        // no listener for others
	hurt  atomic.Bool // the server has said that it cannot write
	away  atomic.Bool // it is being restarted

	mu     sync.Mutex // of server, which is replaced by another one when it is restarted
	server *natsd.Server
}

var _ nats.InProcessConnProvider = (*broker)(nil)

// openBroker starts the server and connects to it in the process.
func openBroker(cfg Config) (*broker, error) {
	opts, err := brokerOptions(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot start NATS: %w", err)
	}
	b := &broker{cfg: cfg, opts: opts, local: cfg.NATS.Listen == ""}
	if err := b.serve(); err != nil {
		return nil, fmt.Errorf("cannot start NATS: %w", err)
	}
	b.conn, err = nats.Connect("", nats.InProcessServer(b), nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond), nats.Name("coordinator "+cfg.ID),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			cfg.Log.Warn("nats client", "error", err)
		}))
	if err != nil {
		b.close()
		return nil, fmt.Errorf("cannot connect to the embedded NATS server: %w", err)
	}
	return b, nil
}

// serve starts a server, in the place of one that has ended.
func (b *broker) serve() error {
	ns, err := natsd.NewServer(b.opts)
	if err != nil {
		return err
	}
	fatal := make(chan string, 1)
	ns.SetLoggerV2(brokerLog{b, fatal}, false, false, false)
	ns.Start()
	if err := await(ns, fatal); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return err
	}
	b.mu.Lock()
	b.server = ns
	b.mu.Unlock()
	return nil
}

// restart ends the server and starts another one on the same files and ports. JetStream does not
// write again by itself once a disk was full, and says nothing to who waits for it; a new server
// reads what is there. Clients connect again.
func (b *broker) restart() error {
	b.away.Store(true)
	defer b.away.Store(false)
	b.hurt.Store(false)
	old := b.current()
	old.Shutdown()
	old.WaitForShutdown()
	if err := b.serve(); err != nil {
		b.hurt.Store(true)
		return fmt.Errorf("cannot restart NATS: %w", err)
	}
	return nil
}

// current returns the server of the moment.
func (b *broker) current() *natsd.Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.server
}

// InProcessConn connects to the server of the moment.
func (b *broker) InProcessConn() (net.Conn, error) { return b.current().InProcessConn() }

func brokerOptions(cfg Config) (*natsd.Options, error) {
	o := &natsd.Options{
		ServerName: "longtake-" + cfg.ID, NoSigs: true, DontListen: cfg.NATS.Listen == "",
		JetStream: true, StoreDir: natsDir(cfg), SyncAlways: true,
		DisableJetStreamBanner: true, JetStreamMaxStore: storeMax,
	}
	var err error
	if cfg.NATS.Listen != "" {
		if o.Host, o.Port, err = splitAddress(cfg.NATS.Listen); err != nil {
			return nil, err
		}
	}
	if cfg.alone() {
		return o, nil
	}
	if o.DontListen { // routing waits for the client listener: give it a private one
		o.DontListen, o.Host, o.Port = false, "127.0.0.1", natsd.RANDOM_PORT
	}
	o.Cluster.Name, o.Cluster.PoolSize = clusterName, -1
	o.Cluster.NoAdvertise = cfg.NATS.Private
	if o.Cluster.Host, o.Cluster.Port, err = splitAddress(cfg.NATS.Routes); err != nil {
		return nil, err
	}
	for _, p := range cfg.NATS.Peers {
		u, err := url.Parse(p)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("peer %q is not a URL such as nats-route://host:port", p)
		}
		o.Routes = append(o.Routes, u)
	}
	return o, nil
}

// splitAddress splits host:port; port 0 means any.
func splitAddress(addr string) (string, int, error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q is not host:port", addr)
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: the port is not in 0..65535", addr)
	}
	if port == 0 {
		return host, natsd.RANDOM_PORT, nil
	}
	return host, int(port), nil
}

// await returns when the server takes connections, or has said why it cannot.
func await(ns *natsd.Server, fatal <-chan string) error {
	for end := time.Now().Add(brokerStart); time.Now().Before(end); {
		if ns.ReadyForConnections(20 * time.Millisecond) {
			return nil
		}
		select {
		case line := <-fatal:
			return errors.New(line)
		default:
		}
	}
	return fmt.Errorf("it is not ready after %v", brokerStart)
}

// url returns what shards dial, or "".
func (b *broker) url() string {
	if a, ok := b.current().Addr().(*net.TCPAddr); ok && a != nil && !b.local {
		host := a.IP.String()
		if a.IP.IsUnspecified() {
			host = "127.0.0.1"
		}
		return "nats://" + net.JoinHostPort(host, strconv.Itoa(a.Port))
	}
	return ""
}

// close ends the client, then the server, and waits for it.
func (b *broker) close() {
	if b.conn != nil {
		b.conn.Close()
	}
	ns := b.current()
	ns.Shutdown()
	ns.WaitForShutdown()
}

// brokerLog passes the server's troubles on and keeps its last word.
type brokerLog struct {
	b     *broker
	fatal chan string
}

// Fatalf keeps the line for await.
func (l brokerLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}

// Errorf logs the line, and notes whether it says that the server writes no more.
func (l brokerLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.b.cfg.Log.Warn("nats: " + line)
	for _, word := range []string{"no space left", "write error", "disk quota", "DISABLED"} {
		if strings.Contains(line, word) {
			l.b.hurt.Store(true)
		}
	}
}

// Warnf drops the line.
func (l brokerLog) Warnf(string, ...any) {}

// Noticef drops the line.
func (l brokerLog) Noticef(string, ...any) {}

// Debugf drops the line.
func (l brokerLog) Debugf(string, ...any) {}

// Tracef drops the line.
func (l brokerLog) Tracef(string, ...any) {}
