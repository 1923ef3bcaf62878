package natsd

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/longtake/longtake/internal/pki"
)

// Lock closes a server to all who have no certificate of the cluster. Clients within the process
// show none and may do everything.
type Lock struct {
	// Identity is this process's, and judges others. nil: the server is open.
	Identity *pki.Identity
	// Clients is the role of clients that connect to ClientAddr, Routes that of other servers.
	Clients, Routes pki.Role
	// Permit says what a client may do; nil: nothing.
	Permit func(pki.ID) Permissions
	// Refused is called for what was refused, from any goroutine; nil: nobody hears of it.
	Refused func(Refusal)
}

// Permissions are what a client may do: publish on some subjects, subscribe to some, and answer
// once what reaches it and asks for an answer.
type Permissions struct{ Publish, Subscribe []string }

// Refusal says what a server has refused.
type Refusal struct {
	Reason RefusalReason
	Line   string // for the log
}

// RefusalReason is why something was refused, in a word: a label of metrics.
type RefusalReason string

// Reasons of refusals.
const (
	RefusedCertificate RefusalReason = "certificate" // of a client or server; the line says what
	RefusedSubject     RefusalReason = "subject"     // it is not one of the client's own
)

// RefusalReasons are all of them.
var RefusalReasons = []RefusalReason{RefusedCertificate, RefusedSubject}

const (
	handshakeTime = 10 * time.Second // on a loaded machine; NATS's own 2 s are short
	answerTime    = time.Minute      // in which an order has to be answered
	recheckTime   = time.Millisecond // until a connection ends that is not let go on
)

// guard decides for one server who may connect. It remembers who did, so that they can be cut off.
type guard struct {
	Lock
	clients bool // others than those in this process may connect

	mu    sync.Mutex
	peers map[uint64]peer // who connected, by NATS's number of the connection
	route map[pki.ID]bool // servers that were believed at the other end of a route
}

// peer is a connection whose certificate was verified.
type peer struct {
	conn server.ClientAuthentication
	id   pki.ID
	perm Permissions
}

// connectionsMost is how many connections one identity may have: each GPU of a machine has one, and
// some may be on their way out.
const connectionsMost = 128

// peersPruned is how many peers are remembered before those that are gone are looked for.
const peersPruned = 4096

// lock sets up who may connect. A server without a client port has one all the same, since NATS
// opens routes after it alone: only those in the process get in there, also in open clusters.
func (g *guard) lock(o *server.Options) {
	o.CustomClientAuthentication = clientGuard{g}
	if g.Identity == nil {
		return
	}
	if g.clients {
		o.TLSConfig, o.TLSTimeout = g.Identity.Server(g.Clients), handshakeTime.Seconds()
		o.AuthTimeout = o.TLSTimeout
	}
	if o.Cluster.Port != 0 {
		o.Cluster.TLSConfig = g.noting(g.Identity.Server(g.Routes))
		o.Cluster.TLSTimeout, o.Cluster.AuthTimeout = handshakeTime.Seconds(), handshakeTime.Seconds()
		o.CustomRouterAuthentication = routeGuard{g}
	}
}

// noting returns a configuration of routes, for both directions, that remembers who was believed:
// NATS asks routeGuard about those alone that connect to this server.
func (g *guard) noting(conf *tls.Config) *tls.Config {
	judge := conf.VerifyConnection
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		if err := judge(s); err != nil {
			return err
		}
		id, err := pki.ParseID(s.PeerCertificates[0])
		g.mu.Lock()
		defer g.mu.Unlock()
		g.route[id] = true
		return err
	}
	return conf
}

// clientGuard implements NATS's interface for clients.
type clientGuard struct{ *guard }

// Check lets in who is in this process, and who has a certificate of the right role. The handshake
// has verified that; a connection that is not encrypted has none.
func (g clientGuard) Check(c server.ClientAuthentication) bool {
	if a := c.RemoteAddress(); a != nil && a.Network() == "pipe" && c.GetTLSConnectionState() == nil {
		return true
	}
	if !g.clients {
		return g.refuse(c, "nobody but this process may connect")
	}
	if g.Identity == nil {
		return true
	}

	p, ok := g.admit(c, g.Clients)
	if !ok {
		return false
	}
	if g.Permit != nil {
		p.perm = g.Permit(p.id)
	}
	g.register(p, c.GetTLSConnectionState().PeerCertificates[0].NotAfter)
	return true
}

// register gives a client its permissions, until its certificate runs out. It connects again then,
// with the next one.
func (g *guard) register(p peer, until time.Time) {
	p.conn.RegisterUser(&server.User{Username: p.id.URI(), ConnectionDeadline: until,
		Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: p.perm.Publish, Deny: allBut(p.perm.Publish)},
			Subscribe: &server.SubjectPermission{Allow: p.perm.Subscribe, Deny: allBut(p.perm.Subscribe)},
			Response:  &server.ResponsePermission{MaxMsgs: 1, Expires: answerTime},
		}})
}

// allBut is what is denied beside what is allowed: where nothing is, NATS would take that for all.
func allBut(allowed []string) []string {
	if len(allowed) == 0 {
		return []string{">"}
	}
	return nil
}

// routeGuard implements NATS's interface for other servers.
type routeGuard struct{ *guard }

// Check lets in servers of the right role. It is asked about those that connect to this one; those
// that it connects to are judged in the handshake.
func (g routeGuard) Check(c server.ClientAuthentication) bool {
	_, ok := g.admit(c, g.Routes)
	return ok
}

// admit returns who is at the other end, if it has the role, and remembers the connection.
func (g *guard) admit(c server.ClientAuthentication, role pki.Role) (peer, bool) {
	id, ok := pki.PeerID(c.GetTLSConnectionState())
	if !ok || id.Role != role || id.Cluster != g.Identity.ID().Cluster {
		return peer{}, g.refuse(c, fmt.Sprintf("%q is no %s of this cluster", id, role))
	}
	if g.Identity.Denied(id) {
		return peer{}, g.refuse(c, fmt.Sprintf("%s was revoked", id))
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.peers) >= peersPruned || g.count(id) >= connectionsMost {
		g.prune()
	}
	if _, again := g.peers[c.GetID()]; !again && g.count(id) >= connectionsMost {
		return peer{}, g.refuse(c, fmt.Sprintf("%s has %d connections already; allowed: %d", id,
			connectionsMost, connectionsMost))
	}
	p := peer{conn: c, id: id}
	g.peers[c.GetID()] = p
	return p, true
}

// count returns how many connections one has; the caller holds the lock.
func (g *guard) count(id pki.ID) (n int) {
	for _, p := range g.peers {
		if p.id == id {
			n++
		}
	}
	return n
}

// prune forgets connections that have ended; the caller holds the lock.
func (g *guard) prune() {
	for n, p := range g.peers {
		if p.conn.RemoteAddress() == nil {
			delete(g.peers, n)
		}
	}
}

// recheck ends the connections of those that were revoked, and tells whether there may be routes
// among them that this server has dialled.
func (g *guard) recheck() (dialled bool) {
	if g.Identity == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.prune()
	for n, p := range g.peers {
		if !g.Identity.Denied(p.id) {
			continue
		}
		delete(g.peers, n)
		p.conn.RegisterUser(&server.User{Permissions: nothing(),
			ConnectionDeadline: time.Now().Add(recheckTime)})
		g.tell(RefusedCertificate, fmt.Sprintf("%s was revoked; its connection ends", p.id))
	}

	for id := range g.route {
		if g.Identity.Denied(id) {
			delete(g.route, id)
			dialled = true
		}
	}
	return dialled
}

// nothing are the permissions of who may do nothing.
func nothing() *server.Permissions {
	return &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{">"}},
		Subscribe: &server.SubjectPermission{Deny: []string{">"}}}
}

// refuse tells why a connection is refused, and returns false.
func (g *guard) refuse(c server.ClientAuthentication, why string) bool {
	g.tell(RefusedCertificate, fmt.Sprintf("connection of %v refused: %s", c.RemoteAddress(), why))
	return false
}

func (g *guard) tell(reason RefusalReason, line string) {
	if g.Refused != nil {
		g.Refused(Refusal{reason, line})
	}
}

// heard takes an error line of the server, and tells whether it is of a refusal. NATS reports those
// nowhere else.
func (g *guard) heard(line string) bool {
	switch {
	case strings.Contains(line, "authentication error"):
		return true // refuse has said why
	case strings.Contains(line, " Violation - Subject"):
		g.tell(RefusedSubject, line)
	case strings.Contains(line, "TLS") && strings.Contains(line, "handshake"):
		g.tell(RefusedCertificate, line)
	default:
		return false
	}
	return g.Refused != nil
}
