package coord

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/pki"
)

// tlsLayer carries Raft over mutual TLS: on both ends a certificate has to name a coordinator of
// this cluster, and on the end that is dialled the very one that Raft means.
type tlsLayer struct {
	net.Listener
	own       *pki.Identity
	advertise net.Addr
	// idAt returns which coordinator is to be at an address; "" if that is not known, as of one that
	// is about to be added: then any coordinator may answer, and is asked for its id.
	idAt func(raft.ServerAddress) string
}

var _ raft.StreamLayer = (*tlsLayer)(nil)

// listenTLS opens the listener. Handshakes come with the first read of each connection, so that one
// that takes its time keeps nobody else waiting.
func listenTLS(addr string, advertise net.Addr, own *pki.Identity,
	idAt func(raft.ServerAddress) string) (*tlsLayer, error) {
	l, err := tls.Listen("tcp", addr, own.Server(pki.RoleCoordinator))
	if err != nil {
		return nil, err
	}
	return &tlsLayer{l, own, advertise, idAt}, nil
}

// Accept implements net.Listener.
func (l *tlsLayer) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &greeted{Conn: c.(*tls.Conn)}, nil
}

// greeted is a connection that shakes hands with its first read, and within raftIO: Raft waits for
// requests without a limit, and a stranger could otherwise hold connections by saying nothing.
type greeted struct {
	*tls.Conn
	once sync.Once
	err  error
}

// Read implements net.Conn.
func (c *greeted) Read(p []byte) (int, error) {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), raftIO)
		defer cancel()
		c.err = c.HandshakeContext(ctx)
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// Addr returns what the others dial.
func (l *tlsLayer) Addr() net.Addr { return l.advertise }

// Dial implements raft.StreamLayer. Whoever answers at the address of another coordinator, be it
// one of this cluster, gets no entries: it may have been given the address after a machine was
// moved.
func (l *tlsLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	cfg := l.own.Client(pki.RoleCoordinator)
	if id := l.idAt(addr); id != "" {
		cfg = l.own.ClientOf(pki.ID{Cluster: l.own.ID().Cluster, Role: pki.RoleCoordinator, Name: id})
	}
	return tls.DialWithDialer(&net.Dialer{Timeout: timeout}, "tcp", string(addr), cfg)
}

// idAt returns which coordinator is at an address: by Raft's configuration, and by the settings
// before that is known.
func (c *consensus) idAt(peers []Peer) func(raft.ServerAddress) string {
	return func(addr raft.ServerAddress) string {
		if r := c.started.Load(); r != nil {
			for _, s := range r.GetConfiguration().Configuration().Servers {
				if s.Address == addr {
					return string(s.ID)
				}
			}
			return ""
		}

		// While it starts, Raft holds what it will answer with later.
		for _, p := range peers {
			if p.Raft == string(addr) {
				return p.ID
			}
		}
		return ""
	}
}

// checkIdentity wants a certificate of this very coordinator: the others would refuse to dial one
// that answers under another name, and nobody would see why it never gets a log.
func (c *Config) checkIdentity() error {
	if c.Identity == nil {
		return nil
	}
	if id := c.Identity.ID(); id.Role != pki.RoleCoordinator || id.Name != c.ID {
		return fmt.Errorf("the certificate in %s is of %s; allowed: one of coordinator %s, which is "+
			"this one's id", c.Identity.Dir(), id, c.ID)
	}
	return nil
}
