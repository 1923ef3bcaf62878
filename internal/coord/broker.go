package coord

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	brokerStart = 10 * time.Second
	clusterName = "longtake-coordinators"
)

// broker is the embedded NATS server with JetStream, and this coordinator's client of it.
type broker struct {
	server *natsd.Server
	conn   *nats.Conn
	local  bool // no listener for others
}

// openBroker starts the server and connects to it in the process.
func openBroker(cfg Config) (*broker, error) {
	opts, err := brokerOptions(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot start NATS: %w", err)
	}
	ns, err := natsd.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("cannot start NATS: %w", err)
	}
	fatal := make(chan string, 1)
	ns.SetLoggerV2(brokerLog{cfg, fatal}, false, false, false)
	ns.Start()
	b := &broker{server: ns, local: cfg.NATS.Listen == ""}
	if err := b.await(fatal); err != nil {
		b.close()
		return nil, fmt.Errorf("cannot start NATS: %w", err)
	}
	b.conn, err = nats.Connect("", nats.InProcessServer(ns), nats.MaxReconnects(-1),
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

func brokerOptions(cfg Config) (*natsd.Options, error) {
	o := &natsd.Options{
		ServerName: "longtake-" + cfg.ID, NoSigs: true, DontListen: cfg.NATS.Listen == "",
		JetStream: true, StoreDir: filepath.Join(cfg.Data, "nats"), SyncAlways: true,
		DisableJetStreamBanner: true,
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
func (b *broker) await(fatal <-chan string) error {
	for end := time.Now().Add(brokerStart); time.Now().Before(end); {
		if b.server.ReadyForConnections(20 * time.Millisecond) {
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
	if a, ok := b.server.Addr().(*net.TCPAddr); ok && a != nil && !b.local {
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
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// brokerLog passes the server's troubles on and keeps its last word.
type brokerLog struct {
	cfg   Config
	fatal chan string
}

// Fatalf keeps the line for await.
func (l brokerLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}

// Errorf logs the line.
func (l brokerLog) Errorf(format string, v ...any) {
	l.cfg.Log.Warn("nats: " + fmt.Sprintf(format, v...))
}

// Warnf drops the line.
func (l brokerLog) Warnf(string, ...any) {}

// Noticef drops the line.
func (l brokerLog) Noticef(string, ...any) {}

// Debugf drops the line.
func (l brokerLog) Debugf(string, ...any) {}

// Tracef drops the line.
func (l brokerLog) Tracef(string, ...any) {}
