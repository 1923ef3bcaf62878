package direct

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrDown is returned by Send on a link without a live connection.
var ErrDown = errors.New("there is no direct connection")

// User is told of a link's connections. It is compared as a key of maps.
type User interface {
	// Cut is called once a connection is gone: what was sent on it and not acknowledged is lost.
	// No lock of this package is held.
	Cut(c *Conn)
}

// Link is the connections with one other process, as long as somebody uses it.
type Link struct {
	node *Node
	peer Offer
	key  []byte
	// conns are the live ones, in no order; a snapshot that is replaced.
	conns atomic.Pointer[[]*Conn]
	ctx   context.Context // ends with the link
	end   context.CancelFunc

	mu     sync.Mutex
	users  map[User]int // how many of its peers each reaches by the link
	closed bool
	warned bool                 // that there is none
	why    error                // that the last attempt to dial failed
	seen   [ConnectionsMax]bool // by index: there was a connection
	late   *time.Timer
}

// newLink makes a link, which the node's mutex guards until it is in the node's list.
func newLink(n *Node, peer Offer) *Link {
	l := &Link{node: n, peer: peer, key: pairKey(n.offer, peer), users: map[User]int{}}
	l.conns.Store(new([]*Conn))
	l.ctx, l.end = context.WithCancel(context.Background())
	l.late = time.AfterFunc(n.opts.HandshakeTimeout, l.warn)
	return l
}

// start dials, if that is this side's part.
func (l *Link) start() {
	if !l.dials() {
		return
	}
	for i := range l.node.opts.Connections {
		l.node.wg.Go(func() { l.dial(i) })
	}
}

// dials reports whether this side dials: of each pair one does, and both know which.
func (l *Link) dials() bool { return string(l.node.offer.id[:]) <= string(l.peer.id[:]) }

// warn says once that a pair of processes has no connection.
func (l *Link) warn() {
	l.mu.Lock()
	quiet := l.warned || l.closed || l.Up()
	l.warned = l.warned || !quiet
	why := l.why
	l.mu.Unlock()

	// Only one side dials; the other one names the address at which it waits.
	switch own := l.node.offer.addr; {
	case !l.dials():
		why = fmt.Errorf("that process has not connected to %s", own)
	case why == nil:
		why = errors.New("no answer yet")
	}
	if !quiet {
		l.node.opts.Log.Warn("no direct connection; activations go over NATS until there is one",
			"peer", l.peer.addr, "error", why)
	}
}

// Up reports whether a connection is there.
func (l *Link) Up() bool { return len(*l.conns.Load()) > 0 }

// Width returns the number of live connections.
func (l *Link) Width() int { return len(*l.conns.Load()) }

// Send writes a frame and returns once the kernel has it, with the connection that it went by. If
// that one is cut meanwhile, the next one is taken, and without any the error is ErrDown. Header
// and payload are up to HeaderMax and PayloadMax bytes. Safe for concurrent use.
//
// A frame of which the receiver can tell by itself that it is whole goes by SendSealed.
//
// Frames with turns that follow each other go by different connections, as far as they are idle:
// each has a reader of its own at the other side. Those with turn 0 share one, whose memory in the
// kernel is still in the cache.
func (l *Link) Send(header, payload []byte, turn uint32) (*Conn, error) {
	c := l.pick(turn)
	if c == nil {
		return nil, ErrDown
	}

	sum := payloadSum(payload)
	for ; c != nil; c = l.pick(turn) {
		if c.carry(frameMagic, header, payload, sum) {
			return c, nil
		}
	}
	return nil, ErrDown
}

// SendSealed is Send for frames that have no checksum of their payload, since it is sealed. The
// receiver takes none twice, so each attempt by another connection seals it anew: seal is called
// for it, and what it returns counts until the next call.
func (l *Link) SendSealed(turn uint32, seal func() (header, payload []byte)) (*Conn, error) {
	for c := l.pick(turn); c != nil; c = l.pick(turn) {
		if header, payload := seal(); c.carry(sealedMagic, header, payload, 0) {
			return c, nil
		}
	}
	return nil, ErrDown
}

// carry sends a frame by the connection, or cuts it.
func (c *Conn) carry(magic uint16, header, payload []byte, sum uint64) bool {
	n := int64(len(payload) + 1)
	c.inFlight.Add(n)
	err := c.send(magic, header, payload, sum)
	c.inFlight.Add(-n)
	if err != nil {
		c.cut(err)
		return false
	}
	c.link.node.sent.Add(uint64(len(payload)))
	return true
}

// pick returns the connection with the fewest bytes that wait, nil without any. Of several it is
// the next one from the turn on.
func (l *Link) pick(turn uint32) (best *Conn) {
	conns, least := *l.conns.Load(), int64(0)
	for i := range conns {
		c := conns[(int(turn)+i)%len(conns)]
		if n := c.inFlight.Load(); best == nil || n < least {
			best, least = c, n
		}
	}
	return best
}

// dial keeps one connection of the link until the link ends.
func (l *Link) dial(index int) {
	pause := l.node.opts.RetryMin
	for l.ctx.Err() == nil {
		nc, err := l.connect(index)
		if err == nil {
			pause = l.node.opts.RetryMin
			l.serve(nc, index)
		} else {
			l.mu.Lock()
			l.why = err
			l.mu.Unlock()
			l.node.opts.Log.Debug("cannot connect directly", "peer", l.peer.addr, "error", err)
		}

		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-l.ctx.Done():
			t.Stop()
		}

		if err != nil {
			pause = min(2*pause, l.node.opts.RetryMax)
		}
	}
}

// connect dials and greets.
func (l *Link) connect(index int) (net.Conn, error) {
	limit := l.node.opts.HandshakeTimeout

	ctx, cancel := context.WithTimeout(l.ctx, limit)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.peer.addr)
	if err != nil {
		return nil, err
	}

	// The end of the link ends a handshake, too.
	nc = l.node.wrap(nc)
	stop := context.AfterFunc(ctx, func() { nc.Close() })

	err = nc.SetDeadline(time.Now().Add(limit))
	if err == nil {
		err = greet(nc, l.key, hello{index: index, from: l.node.offer.id, to: l.peer.id})
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// serve runs a connection whose handshake is done, until it is cut. One of the same index that is
// still there is the other side's past.
func (l *Link) serve(nc net.Conn, index int) {
	c := newConn(l, nc, index)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		nc.Close()
		return
	}

	var old *Conn
	conns := slices.Clone(*l.conns.Load())
	for i, x := range conns {
		if x.index == index {
			old, conns = x, slices.Delete(conns, i, i+1)
			break
		}
	}
	conns = append(conns, c)
	l.conns.Store(&conns)
	missed := l.warned
	l.warned = false
	if l.seen[index] {
		l.node.reconnects.Add(1)
	}
	l.seen[index] = true
	l.mu.Unlock()

	if missed {
		l.node.opts.Log.Info("there is a direct connection now", "peer", l.peer.addr)
	}

	if old != nil {
		old.cut(errors.New("the other side has connected again"))
	}
	c.run()
}

// lost takes a connection out and tells the users.
func (l *Link) lost(c *Conn, err error) {
	l.mu.Lock()
	conns := slices.DeleteFunc(slices.Clone(*l.conns.Load()), func(x *Conn) bool { return x == c })
	l.conns.Store(&conns)

	users := make([]User, 0, len(l.users))
	for u := range l.users {
		users = append(users, u)
	}
	if !l.closed && len(conns) == 0 {
		l.late.Reset(l.node.opts.HandshakeTimeout)
	}
	l.mu.Unlock()

	if !c.goodbye.Load() {
		l.node.opts.Log.Debug("a direct connection was cut", "peer", l.peer.addr, "error", err)
	}
	for _, u := range users {
		u.Cut(c)
	}
}

// Leave ends one use of the link. The last one closes its connections, in the background.
func (l *Link) Leave(u User) { l.node.leave(l, u) }

// close closes what is left. The node's list does not have the link any more.
func (l *Link) close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.late.Stop()
	conns := *l.conns.Load()
	l.mu.Unlock()
	for _, c := range conns {
		c.goodbye.Store(true)
		l.node.wg.Go(c.leave)
	}
	l.end()
}
