package nats

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/collective"
)

const (
	// Subject of a node's frames, followed by its name.
	subjectPrefix = "longtake.data."
	// Closed transports remembered, so that peers which have missed a bye are answered.
	endingsMax = 1024
	// Messages that the subscription may hold before NATS drops them; windows keep it far below.
	pendingMsgsMax = 1 << 20
	// Bytes that it may hold, likewise.
	pendingMax = 2 << 30
	// Ranks of an attempt; far above any cluster, so it only refuses nonsense.
	ranksMax = 1 << 16
)

// Endpoint is a node on NATS: one subscription, shared by the transports of all ranks that the node
// holds. Safe for concurrent use.
type Endpoint struct {
	// The caller's connection, which outlives the endpoint.
	nc *natsio.Conn
	// The last token of the own subject, by which peers reach this endpoint.
	node string
	opts Options
	sub  *natsio.Subscription
	// Bytes received that no call waits for, of all transports together, see Options.UnclaimedBytes.
	unclaimed atomic.Int64
	// Frames that could not be read, so that no transport can be charged with them, and frames that
	// the key of their attempt did not open.
	corrupt, forged atomic.Uint64
	// Bytes of chunks that were sent each way, and chunks that were sent again.
	overNATS, overDirect, resent atomic.Uint64
	// Frames of attempts that ended here and have no transport any more.
	stale atomic.Uint64

	// mu guards what follows. It is not held while a frame is handled or a transport fails, which
	// take the transport's own mutex.
	mu sync.Mutex
	// The transport that frames for the place go to.
	open map[place]*Transport
	// How the latest closed transport of a place ended, at most endingsMax of them.
	ended      map[place]ending
	endedOrder []place // the keys of ended, oldest first
	// Close has begun: nothing can be joined any more.
	closed bool
}

// place is a rank of a job at this endpoint. It holds one attempt at a time.
type place struct {
	job  uint64
	rank uint32
}

// ending is what the endpoint remembers of a closed transport, to answer peers that still send to
// it.
type ending struct {
	attempt uint32
	session uint64
	last    bye      // that it sent
	sealed  bool     // its attempt has a key
	keys    *keyring // nil: none, or it is not known
}

// NewEndpoint subscribes to the node's subject. The node's name is one token of a NATS subject: no
// spaces, dots, * or >. The connection remains the caller's and must outlive the endpoint. Options
// that the server cannot serve are an error.
func NewEndpoint(nc *natsio.Conn, node string, opts Options) (*Endpoint, error) {
	if err := checkNode(node); err != nil {
		return nil, err
	}
	opts, err := opts.withDefaults(nc.MaxPayload())
	if err != nil {
		return nil, fmt.Errorf("cannot open endpoint %q: %w", node, err)
	}

	e := &Endpoint{nc: nc, node: node, opts: opts,
		open: map[place]*Transport{}, ended: map[place]ending{}}
	if e.sub, err = nc.Subscribe(subjectPrefix+node, e.receive); err != nil {
		return nil, fmt.Errorf("cannot subscribe endpoint %q: %w", node, err)
	}
	if err := e.sub.SetPendingLimits(pendingMsgsMax, pendingMax); err != nil {
		return nil, fmt.Errorf("cannot set the limits of endpoint %q: %w", node, err)
	}

	if opts.Direct != nil {
		opts.Direct.Register(e)
	}
	return e, nil
}

// checkNode wants a name that can be a token of a subject.
func checkNode(node string) error {
	if node == "" || len(node) > 255 || strings.ContainsFunc(node, notInToken) {
		return fmt.Errorf("cannot use %q as a node's name: 1 to 255 printable characters without "+
			"space, dot, * and >", node)
	}
	return nil
}

// notInToken reports whether a character may not be part of a subject's token.
func notInToken(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(".*>", r) }

// Join opens the transport of a rank; nodes[r] names the endpoint of rank r, and nodes[rank] is
// this one. The peers need not have joined yet. If this endpoint has an older attempt of the job
// open, that one ends with collective.ErrStale; joining an older attempt than before returns it.
//
// With a key, which is the same for all ranks, all that the ranks send each other is sealed under
// it, and nothing else is heard.
func (e *Endpoint) Join(job string, attempt uint32, rank int, nodes []string, key collective.Key) (
	collective.Transport, error) {
	if err := e.checkJoin(rank, nodes); err != nil {
		return nil, fmt.Errorf("cannot join job %q: %w", job, err)
	}
	at, session := place{jobHash(job), uint32(rank)}, newSession()
	keys := newKeyring(key, job, attempt, at.rank, session, len(nodes))
	t := newTransport(e, at, attempt, session, nodes, keys)
	older, err := e.enter(at, t)
	if err != nil {
		return nil, fmt.Errorf("cannot join job %q attempt %d: %w", job, attempt, err)
	}
	if older != nil {
		older.fail(collective.ErrStale)
	}
	t.start()
	return t, nil
}

// checkJoin wants nodes that have names, and the own one at its rank.
func (e *Endpoint) checkJoin(rank int, nodes []string) error {
	if rank < 0 || rank >= len(nodes) || len(nodes) > ranksMax {
		return fmt.Errorf("rank %d is not in 0..%d", rank, len(nodes)-1)
	}
	if nodes[rank] != e.node {
		return fmt.Errorf("rank %d is node %q, this is %q", rank, nodes[rank], e.node)
	}
	for _, n := range nodes {
		if err := checkNode(n); err != nil {
			return err
		}
	}
	return nil
}

// jobHash names a job in frames: the first 8 bytes of the SHA-256 of its name. Two jobs of one
// endpoint collide with a chance of 2^-64 per pair, and would then fence each other off by their
// attempts.
func jobHash(job string) uint64 {
	sum := sha256.Sum256([]byte(job))
	return binary.LittleEndian.Uint64(sum[:])
}

// enter puts t at its place and returns the transport of an older attempt that was there. An
// attempt that is older than one seen before is refused, whether that one is open or has ended.
func (e *Endpoint) enter(at place, t *Transport) (older *Transport, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, collective.ErrClosed
	}
	older = e.open[at]
	over, ok := e.ended[at]
	switch {
	case older != nil && older.attempt == t.attempt:
		return nil, errors.New("it was joined before")
	case older != nil && older.attempt > t.attempt, ok && over.attempt > t.attempt:
		return nil, collective.ErrStale
	}

	e.open[at] = t
	return older, nil
}

// leave takes t out and remembers how it ended, unless a newer attempt has taken its place.
func (e *Endpoint) leave(t *Transport, last bye) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open[t.at] != t {
		return
	}
	delete(e.open, t.at)
	if _, ok := e.ended[t.at]; !ok {
		e.endedOrder = append(e.endedOrder, t.at)
	}
	e.ended[t.at] = ending{attempt: t.attempt, session: t.session, last: last,
		sealed: t.keys != nil, keys: t.keys}
	if len(e.endedOrder) > endingsMax {
		delete(e.ended, e.endedOrder[0])
		e.endedOrder = e.endedOrder[1:]
	}
}

// receive takes one NATS message; NATS calls it for one message after the other. It serves all
// ranks of the node and must not wait for any of them: a chunk is copied and acknowledged, and one
// that there is no room for is refused with kindLater.
func (e *Endpoint) receive(m *natsio.Msg) {
	if len(m.Data) == 0 && len(m.Header) > 0 {
		return // no frame: the server says that nobody has subscribed to what was sent
	}
	h, payload, err := parseFrame(m.Data)
	if err != nil {
		e.corrupt.Add(1)
		return
	}
	t, over := e.find(h)
	switch {
	case t != nil:
		t.receive(h, payload)
	case over != nil && e.believes(*over, h, payload):
		e.refuse(h, m.Reply, *over)
	}
}

// believes reports whether a frame for an attempt that is over is by a rank of it.
func (e *Endpoint) believes(over ending, h header, payload []byte) bool {
	if !over.sealed {
		return h.counter == 0
	}
	if over.keys == nil || h.src >= uint32(len(over.keys.sent)) { // it never had the key
		return false
	}
	if _, err := over.keys.channel(h.src).openFrame(h, payload); err != nil {
		e.forged.Add(1)
		return false
	}
	return true
}

// find returns the transport that the frame is for, or nil. The sender of a frame for an attempt
// that is over is told so, with how it has ended; the sender of one for an attempt that has not
// begun here tries again.
func (e *Endpoint) find(h header) (*Transport, *ending) {
	at := place{h.job, h.dst}
	e.mu.Lock()
	t, over, known := e.open[at], ending{}, false
	if t == nil {
		over, known = e.ended[at]
	}
	e.mu.Unlock()

	switch {
	case t != nil && h.attempt == t.attempt:
		return t, nil
	case t != nil && h.attempt < t.attempt:
		t.stale.Add(1)
		return nil, &ending{last: bye{code: byeStale}, sealed: t.keys != nil}
	case known && h.attempt < over.attempt:
		e.stale.Add(1)
		return nil, &ending{last: bye{code: byeStale}, sealed: over.sealed}
	case known && h.attempt == over.attempt:
		return nil, &over
	}
	return nil, nil
}

// refuse answers a frame with a bye. A bye and an answer get none, or two endpoints could answer
// each other without end.
func (e *Endpoint) refuse(h header, reply string, over ending) {
	if reply == "" || (h.kind != kindData && h.kind != kindPing) {
		return
	}
	e.publish(reply, header{kind: kindBye, job: h.job, attempt: h.attempt, src: h.dst, dst: h.src,
		session: over.session, peerSession: h.session}, over.last.encode(),
		over.keys.channel(h.src))
}

// frames are buffers for publish, which NATS copies out of. A frame of the default size is 1 MiB,
// which is too much to allocate for every chunk.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// publish sends one frame, sealed by a channel if that is not nil. An error of NATS counts as a
// lost frame, which the caller sends again. NATS buffers what it is given, so this returns before
// the frame has left the process.
func (e *Endpoint) publish(subject string, h header, payload []byte, c *channel) {
	buf := frames.Get().(*[]byte)
	*buf = slices.Grow((*buf)[:0], sealedHeaderBytes+len(payload))
	if c == nil {
		*buf = appendFrame(*buf, h, payload)
	} else {
		*buf = c.appendFrame(*buf, h, payload)
	}

	if e.opts.Intercept == nil {
		_ = e.nc.PublishRequest(subject, e.sub.Subject, *buf)
	} else {
		for _, f := range e.opts.Intercept(*buf) {
			_ = e.nc.PublishRequest(subject, e.sub.Subject, f)
		}
	}
	frames.Put(buf)
}

// Close closes the transports that are still open, waits for them, and unsubscribes. The connection
// stays open. An error means that NATS could not unsubscribe.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.closed = true
	var open []*Transport
	for _, t := range e.open {
		open = append(open, t)
	}
	e.mu.Unlock()

	// Each may linger, so they close at once.
	var wg sync.WaitGroup
	for _, t := range open {
		wg.Go(func() { t.Close() })
	}
	wg.Wait()
	if e.opts.Direct != nil {
		e.opts.Direct.Unregister(e)
	}

	if err := e.sub.Unsubscribe(); err != nil && !errors.Is(err, natsio.ErrConnectionClosed) {
		return fmt.Errorf("cannot unsubscribe endpoint %q: %w", e.node, err)
	}
	return nil
}
