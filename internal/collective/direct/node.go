package direct

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Receiver takes frames. Its methods are called from the goroutines of connections.
type Receiver interface {
	// Place is given the header of a frame whose payload has n bytes, before the payload is read. The
	// sink is nil where nobody wants it; ok is false if the frame is not for this receiver at all. The
	// header's memory is used again afterwards.
	Place(c *Conn, header []byte, n int) (s Sink, ok bool)
}

// Sink is where the payload of one frame goes.
type Sink interface {
	// Buffer returns the n bytes of memory that are written.
	Buffer() []byte
	// Done is called once they are, or with false if the connection was cut before, or what came is
	// damaged. An error says that it is not what was sent, which cuts the connection.
	Done(ok bool) error
}

// Node is a process's end of all its direct connections. Safe for concurrent use.
type Node struct {
	opts     Options
	offer    Offer
	listener net.Listener
	wg       sync.WaitGroup

	receivers atomic.Pointer[[]Receiver]

	reconnects, corrupt, sent, received atomic.Uint64

	mu        sync.Mutex
	links     map[id]*Link
	strangers []net.Conn // whose handshake is not over, oldest first
	closed    bool
}

// Listen makes a node and begins to accept connections. The caller closes it.
func Listen(o Options) (*Node, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("cannot offer direct connections: %w", err)
	}

	n := &Node{opts: o, links: map[id]*Link{}}
	n.receivers.Store(new([]Receiver))
	if n.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("cannot listen for direct connections: %w", err)
	}
	_, _ = rand.Read(n.offer.id[:])
	_, _ = rand.Read(n.offer.key[:])
	n.offer.addr = cmp.Or(o.Advertise, reachable(n.listener.Addr(), o.AdvertiseHost))
	n.wg.Go(n.accept)
	return n, nil
}

// reachable returns what other processes dial of an address, at a host if there is one. A wildcard
// is given as the loopback address.
func reachable(a net.Addr, host string) string {
	own, port, _ := net.SplitHostPort(a.String())
	if ip := net.ParseIP(own); ip != nil && ip.IsUnspecified() {
		own = "127.0.0.1"
	}
	return net.JoinHostPort(cmp.Or(host, own), port)
}

// Offer returns what other processes need to connect.
func (n *Node) Offer() Offer { return n.offer }

// Addr returns the host:port that other processes dial.
func (n *Node) Addr() string { return n.offer.addr }

// Stats counts a node's work since it was made.
type Stats struct {
	Connections              int    // that are open
	Reconnects               uint64 // connections that were made again after a cut
	Corrupt                  uint64 // frames with a wrong checksum, each of which cut a connection
	BytesSent, BytesReceived uint64 // of payloads
}

// Stats returns what the node has done so far.
func (n *Node) Stats() Stats {
	s := Stats{Reconnects: n.reconnects.Load(), Corrupt: n.corrupt.Load(), BytesSent: n.sent.Load(),
		BytesReceived: n.received.Load()}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		s.Connections += l.Width()
	}
	return s
}

// Register has the receiver asked for frames, until Unregister.
func (n *Node) Register(r Receiver) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := append(slices.Clone(*n.receivers.Load()), r)
	n.receivers.Store(&all)
}

// Unregister ends Register.
func (n *Node) Unregister(r Receiver) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := slices.Clone(*n.receivers.Load())
	all = slices.DeleteFunc(all, func(x Receiver) bool { return x == r })
	n.receivers.Store(&all)
}

// place asks the receivers.
func (n *Node) place(c *Conn, header []byte, size int) Sink {
	for _, r := range *n.receivers.Load() {
		if s, ok := r.Place(c, header, size); ok {
			return s
		}
	}
	return nil
}

// Link returns the link with the process of the offer, which it makes on first use; nil for the own
// process, after Close, and beyond a limit of links. Each call is matched by one of Link.Leave.
func (n *Node) Link(o Offer, u User) *Link {
	if o.id == n.offer.id {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()

	l := n.links[o.id]
	if n.closed || l == nil && len(n.links) >= linksMax {
		return nil
	}
	if l == nil {
		l = newLink(n, o)
		n.links[o.id] = l
		l.start()
	}

	l.use(u)
	return l
}

// Join counts one more use of a link that a frame came by, as Link does. It is false for a link
// that is over.
func (n *Node) Join(l *Link, u User) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.links[l.peer.id] != l {
		return false
	}
	l.use(u)
	return true
}

// use counts a use. The caller holds the node's mutex.
func (l *Link) use(u User) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users[u]++
}

// leave ends a use, and with the last one the link.
func (n *Node) leave(l *Link, u User) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l.mu.Lock()
	if l.users[u]--; l.users[u] <= 0 {
		delete(l.users, u)
	}
	last := len(l.users) == 0
	l.mu.Unlock()
	if last && n.links[l.peer.id] == l {
		delete(n.links, l.peer.id)
		l.close()
	}
}

// Go runs f on a goroutine that Close waits for, and which only Close may have to wait for: a write
// may block for Options.Timeout. It is false, and f does not run, once the node is closed.
func (n *Node) Go(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.wg.Go(f)
	}
	return !n.closed
}

// wrap puts Options.Wrap around a connection.
func (n *Node) wrap(nc net.Conn) net.Conn {
	if n.opts.Wrap != nil {
		return n.opts.Wrap(nc)
	}
	return nc
}

// accept takes connections until the node is closed.
func (n *Node) accept() {
	for {
		nc, err := n.listener.Accept()
		if err == nil {
			n.admit(nc)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		time.Sleep(n.opts.RetryMin) // such as too many open files
	}
}

// admit begins the handshake of a connection. Where too many have not ended theirs, the oldest has
// to go: an honest one needs a round trip, so strangers would have to come faster than that.
func (n *Node) admit(nc net.Conn) {
	raw := nc
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		raw.Close()
		return
	}
	n.strangers = append(n.strangers, raw)
	if len(n.strangers) > strangersMax {
		n.strangers[0].Close()
		n.strangers = slices.Delete(n.strangers, 0, 1)
	}
	n.wg.Go(func() { n.receive(raw) })
	n.mu.Unlock()
}

// receive is a connection's life, on the side that accepted it.
func (n *Node) receive(raw net.Conn) {
	nc := n.wrap(raw)

	var link *Link
	err := nc.SetDeadline(time.Now().Add(n.opts.HandshakeTimeout))
	var h hello
	if err == nil {
		h, err = welcome(nc, func(h hello) ([]byte, bool) {
			if link = n.find(h); link == nil {
				return nil, false
			}
			return link.key, true
		})
	}

	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}

	n.mu.Lock()
	n.strangers = slices.DeleteFunc(n.strangers, func(x net.Conn) bool { return x == raw })
	n.mu.Unlock()
	if err != nil {
		nc.Close()
		n.opts.Log.Debug("a direct connection was refused", "from", raw.RemoteAddr(), "error", err)
		return
	}
	link.serve(nc, h.index)
}

// find returns the link that a hello is for, nil if there is none: its process was not heard of
// yet, or nobody needs it any more.
func (n *Node) find(h hello) *Link {
	if h.to != n.offer.id {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links[h.from]
}

// Close closes all connections, and waits for them.
func (n *Node) Close() error {
	err := n.listener.Close()
	n.mu.Lock()
	n.closed = true
	for _, nc := range n.strangers {
		nc.Close()
	}
	for peer, l := range n.links {
		delete(n.links, peer)
		l.close()
	}
	n.mu.Unlock()
	n.wg.Wait()
	return err
}
