package nats

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// Transport is one rank of one attempt of a job at an Endpoint. It implements collective.Transport.
type Transport struct {
	e       *Endpoint
	at      place
	attempt uint32
	rank    int
	session uint64   // random, never 0
	keys    *keyring // nil: frames are not sealed
	window  int      // bytes in flight per peer

	mu      sync.Mutex
	peers   []*peer // by rank; the own one serves messages to oneself
	inbox   map[address]*inMessage
	err     error                 // why failed is closed
	blame   *collective.PeerError // the first peer whose absence ended a call
	closing bool                  // Close has begun

	failed chan struct{}  // closed with err
	closed chan struct{}  // closed by Close
	stop   chan struct{}  // ends the pacer
	kick   chan struct{}  // wakes the pacer, holds one
	done   sync.WaitGroup // of the pacer
	silent atomic.Bool    // see Silence

	sent, received, directSent, retransmits, corrupt, stale, forged atomic.Uint64
	corruptBefore                                                   uint64 // of the endpoint, at Join
}

// newTransport makes a transport that does not run yet. Its window depends on the number of peers,
// since all of them may send to one server at once.
func newTransport(e *Endpoint, at place, attempt uint32, session uint64, nodes []string,
	keys *keyring) *Transport {
	t := &Transport{e: e, at: at, attempt: attempt, rank: int(at.rank), session: session, keys: keys,
		window: e.opts.window(len(nodes) - 1), inbox: map[address]*inMessage{},
		failed: make(chan struct{}), closed: make(chan struct{}), stop: make(chan struct{}),
		kick: make(chan struct{}, 1), corruptBefore: e.corrupt.Load()}
	now := time.Now()
	for r, n := range nodes {
		t.peers = append(t.peers, newPeer(r, subjectPrefix+n, now, keys))
	}
	return t
}

// newSession draws the number of a session.
func newSession() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// start sends the peers a first sign of life and starts the pacer.
func (t *Transport) start() {
	for _, p := range t.peers {
		t.ping(p)
	}
	t.done.Go(t.pace)
}

// Rank implements collective.Transport.
func (t *Transport) Rank() int { return t.rank }

// Size implements collective.Transport.
func (t *Transport) Size() int { return len(t.peers) }

// Stats implements collective.Transport. Corrupt counts all corrupt frames that reached the
// endpoint while the transport was open, since such a frame does not tell whose it is.
func (t *Transport) Stats() collective.Stats {
	return collective.Stats{
		BytesSent: t.sent.Load(), BytesReceived: t.received.Load(),
		BytesDirect: t.directSent.Load(),
		Retransmits: t.retransmits.Load(), Stale: t.stale.Load(), Forged: t.forged.Load(),
		Corrupt: t.corrupt.Load() + t.e.corrupt.Load() - t.corruptBefore,
	}
}

// Send cuts data into chunks and returns once each was sent for the first time. Retransmission
// goes on in the background, so data must not be touched any more. Data to the own rank is handed
// over by reference.
func (t *Transport) Send(ctx context.Context, to int, tag collective.Tag, data []byte) error {
	err := t.checkPeer(ctx, to)
	switch {
	case err != nil:
	case to == t.rank:
		err = t.deliverOwn(tag, data)
	default:
		err = t.send(ctx, t.peers[to], tag, data)
	}
	if err != nil {
		return fmt.Errorf("cannot send step %d op %d to rank %d: %w", tag.Step, tag.Op, to, err)
	}
	t.sent.Add(uint64(len(data)))
	return nil
}

// checkPeer refuses a rank out of range and a context that has ended.
func (t *Transport) checkPeer(ctx context.Context, rank int) error {
	if rank < 0 || rank >= len(t.peers) {
		return fmt.Errorf("the rank is not in 0..%d", len(t.peers)-1)
	}
	return ctx.Err()
}

// send queues a message and waits until each of its chunks was sent once. A message that cannot be
// sent to its end is taken out of the queue. One that is partly sent cannot be completed later, and
// the receiver's part of it is dropped when the attempt ends.
func (t *Transport) send(ctx context.Context, p *peer, tag collective.Tag, data []byte) error {
	m, err := t.enqueue(p, tag, data)
	if err != nil {
		return err
	}

	for {
		t.push(p)

		t.mu.Lock()
		sent, credit, ended := m.sentOnce(), p.credit, t.ended(p)
		t.mu.Unlock()
		if sent {
			return nil
		}

		if ended == nil {
			ended = t.waitCredit(ctx, credit)
		}
		if ended != nil {
			t.abandon(p, m)
			return ended
		}
	}
}

// enqueue numbers the message and puts it last in the peer's queue. A message that is too large is
// refused here, before the peer would refuse it.
func (t *Transport) enqueue(p *peer, tag collective.Tag, data []byte) (*outMessage, error) {
	if int64(len(data)) > t.e.opts.BytesMax {
		return nil, fmt.Errorf("%d bytes are above the limit of %d", len(data), t.e.opts.BytesMax)
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ended(p); err != nil {
		return nil, err
	}
	g, err := cut(uint64(len(data)), uint64(t.chunkBytes(p)))
	if err != nil {
		return nil, err
	}
	return p.enqueue(tag, data, g), nil
}

// waitCredit waits until the peer's queue has changed, or the transport has ended.
func (t *Transport) waitCredit(ctx context.Context, credit <-chan struct{}) error {
	select {
	case <-credit:
	case <-t.failed:
	case <-t.closed:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// abandon takes a message out of the queue of which some chunks were never sent.
func (t *Transport) abandon(p *peer, m *outMessage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.remove(m)
}

// ended returns why calls that need the peer cannot go on, or nil. The first peer that has left is
// remembered, so that bye can pass the blame on. The caller holds mu.
func (t *Transport) ended(p *peer) error {
	switch {
	case t.closing:
		return collective.ErrClosed
	case t.err != nil:
		return t.err
	case p.left != nil:
		if t.blame == nil {
			t.blame = p.left
		}
		return p.left
	}
	return nil
}

// Recv implements collective.Transport.
func (t *Transport) Recv(ctx context.Context, from int, tag collective.Tag) ([]byte, error) {
	err := t.checkPeer(ctx, from)
	var data []byte
	if err == nil {
		data, err = t.recv(ctx, t.peers[from], address{from, tag})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot receive step %d op %d of rank %d: %w",
			tag.Step, tag.Op, from, err)
	}
	t.received.Add(uint64(len(data)))
	return data, nil
}

// recv waits for a message, whatever ends the wait, and lets take find out what that was.
func (t *Transport) recv(ctx context.Context, p *peer, a address) ([]byte, error) {
	m, err := t.await(p, a)
	if err != nil {
		return nil, err
	}

	select {
	case <-m.here:
	case <-t.failed:
	case <-t.closed:
	case <-p.gone:
	case <-ctx.Done():
	}
	return t.take(ctx, p, a, m)
}

// fail ends the calls that wait, and later ones, with err. Only the first error counts. The
// transport stays open, so that Close can still tell the peers why.
func (t *Transport) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil && !t.closing {
		t.err = err
		close(t.failed)
	}
}

// Silence makes the rank look hung, for tests: from now on no frame leaves or is heard.
func (t *Transport) Silence() { t.silent.Store(true) }

// Close implements collective.Transport. It ends the calls that wait, waits up to Options.Linger
// for the peers to acknowledge what was sent, and says bye to them.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closing {
		t.mu.Unlock()
		t.done.Wait()
		return nil
	}

	t.closing = true
	err := t.err
	if err == nil && t.blame != nil {
		err = t.blame
	}
	close(t.closed)
	t.mu.Unlock()

	if err == nil {
		t.linger()
	}
	close(t.stop)
	t.done.Wait()

	// Peers whose bye is lost are answered with it when they next send something.
	last := byeFor(err)
	t.e.leave(t, last)
	for _, p := range t.peers {
		t.tell(p, header{kind: kindBye}, last.encode())
	}
	t.drop()
	t.leaveLinks()
	return nil
}

// Abort implements collective.Transport: a transport that has failed does not linger.
func (t *Transport) Abort() {
	t.fail(collective.ErrClosed)
	t.Close()
}

// linger waits until all messages to peers that have not left are acknowledged.
func (t *Transport) linger() {
	limit := time.NewTimer(t.e.opts.Linger)
	defer limit.Stop()
	for _, p := range t.peers {
		for {
			t.mu.Lock()
			n, credit := len(p.out), p.credit
			t.mu.Unlock()

			if n == 0 {
				break
			}
			select {
			case <-credit:
			case <-limit.C:
				return
			}
		}
	}
}

// drop releases the memory of messages that nobody will receive or acknowledge.
func (t *Transport) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a, m := range t.inbox {
		t.release(m)
		delete(t.inbox, a)
	}
	for _, p := range t.peers {
		p.out = nil
	}
}

// tell sends the peer a frame over NATS. The own rank and a peer that has left get none. Callers
// do not hold mu.
func (t *Transport) tell(p *peer, h header, payload []byte) {
	t.mu.Lock()
	t.address(&h, p)
	p.toldAt = time.Now()
	skip := p.left != nil || p.rank == t.rank
	t.mu.Unlock()
	if skip || t.silent.Load() {
		return
	}
	t.e.publish(p.subject, h, payload, p.channel)
}

// ping sends a sign of life, which also tells the peer this rank's session, and how to connect.
func (t *Transport) ping(p *peer) { t.tell(p, header{kind: kindPing}, t.offer()) }
