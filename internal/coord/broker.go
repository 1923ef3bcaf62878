package coord

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/wire"
)

const clusterName = "longtake-coordinators"

// broker is the embedded NATS server with JetStream, and this coordinator's client of it.
type broker struct {
	*natsd.Server
	conn *nats.Conn
	hurt atomic.Bool // the server has said that it cannot write
	away atomic.Bool // it is being restarted
	// creating is held, to read, by who may create a stream: a server must not end meanwhile.
	creating sync.RWMutex
}

// openBroker starts the server and connects to it in the process.
func openBroker(cfg Config, lock natsd.Lock) (*broker, error) {
	b := &broker{}
	opts := natsd.Options{Name: "longtake-" + cfg.ID, ClientAddr: cfg.NATS.Listen,
		StoreDir: natsDir(cfg), Lock: lock, Trouble: func(line string) {
			cfg.Log.Warn("nats: " + line)
			b.note(line)
		}}
	if !cfg.alone() {
		opts.RouteAddr, opts.Routes = cfg.NATS.Routes, cfg.NATS.Peers
		opts.Cluster, opts.Private = clusterName, cfg.NATS.Private
	}

	var err error
	if b.Server, err = natsd.Start(opts); err != nil {
		return nil, err
	}
	client := []nats.Option{nats.ReconnectWait(50 * time.Millisecond),
		nats.Name("coordinator " + cfg.ID),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			cfg.Log.Warn("nats client", "error", err)
		})}
	if cfg.Identity != nil {
		client = append(client, nats.CustomInboxPrefix(wire.CoordinatorInbox(cfg.ID)))
	}
	b.conn, err = b.Connect(client...)
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// note takes down whether an error line of the server says that it writes no more. It logs such
// lines on the goroutine that failed to write, and nowhere else.
func (b *broker) note(line string) {
	for _, word := range []string{"no space left", "write error", "disk quota", "DISABLED"} {
		if strings.Contains(line, word) {
			b.hurt.Store(true)
		}
	}
}

// restart ends the server and starts another one on the same files and ports. JetStream does not
// write again by itself once a disk was full, and does not tell clients that wait for it; a new
// server reads what is there. Clients connect again.
func (b *broker) restart() error {
	b.creating.Lock()
	defer b.creating.Unlock()
	b.away.Store(true)
	defer b.away.Store(false)
	b.hurt.Store(false)
	b.flush()
	err := b.Restart()
	b.hurt.Store(b.hurt.Load() || err != nil)
	return err
}

// flushTime bounds the wait for a server in this process to read what it was sent.
const flushTime = 2 * time.Second

// flush returns once the server has read all that it was asked for. A request that was given up
// here may still be on its way.
func (b *broker) flush() {
	if b.conn.IsConnected() {
		b.conn.FlushTimeout(flushTime) //nolint:errcheck // the server ends anyhow
	}
}

// close ends the client, then the server, and waits for it. Nobody may create a stream any more.
func (b *broker) close() {
	if b.conn != nil {
		b.flush()
		b.conn.Close()
	}
	b.Shutdown()
}
