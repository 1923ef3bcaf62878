package mem

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// Transport is one rank of a world. It implements collective.Transport. The world's mutex guards
// the fields that change.
type Transport struct {
	w      *world
	rank   int
	inbox  map[address]*slot // messages that have arrived or are waited for
	joined bool              // else peers alone know it so far
	silent bool              // see Silence
	closed bool
	err    error                 // why ended is closed
	ended  chan struct{}         // closed once the rank has failed or was closed
	blame  *collective.PeerError // the first peer whose absence ended a call

	sent, received atomic.Uint64 // bytes
}

// address names a message at its receiver. A tag is used once for each pair of ranks.
type address struct {
	from int
	tag  collective.Tag
}

// slot is a message that has arrived, or that a call waits for.
type slot struct {
	data    []byte
	here    chan struct{} // closed once data has arrived
	full    bool          // data has arrived
	awaited bool          // a call waits
}

func newTransport(w *world, rank int) *Transport {
	return &Transport{w: w, rank: rank, inbox: map[address]*slot{}, ended: make(chan struct{})}
}

// Rank implements collective.Transport.
func (t *Transport) Rank() int { return t.rank }

// Size implements collective.Transport.
func (t *Transport) Size() int { return len(t.w.ranks) }

// SameProcess implements collective.Colocated: all ranks are in this process. Callers may therefore
// send references to host or device memory instead of bytes.
func (t *Transport) SameProcess(int) bool { return true }

// Stats implements collective.Transport. Nothing is sent again or corrupted in memory. Stale stays
// zero, too: a call of an older attempt fails before anything moves.
func (t *Transport) Stats() collective.Stats {
	return collective.Stats{BytesSent: t.sent.Load(), BytesReceived: t.received.Load()}
}

// Send implements collective.Transport. It never blocks, since there is no window to fill. Nothing
// but its own receives holds a fast sender back.
func (t *Transport) Send(ctx context.Context, to int, tag collective.Tag, data []byte) error {
	if err := t.send(ctx, to, tag, data); err != nil {
		return fmt.Errorf("cannot send step %d op %d to rank %d: %w", tag.Step, tag.Op, to, err)
	}
	t.sent.Add(uint64(len(data)))
	return nil
}

// send puts the message into the peer's inbox, whether the peer has joined yet or not. A silent
// rank loses it, as a hung process would.
func (t *Transport) send(ctx context.Context, to int, tag collective.Tag, data []byte) error {
	if err := t.check(ctx, to); err != nil {
		return err
	}

	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	peer := t.w.transport(to)
	if peer.closed {
		return t.left(peer)
	}

	if t.silent || peer.silent {
		return nil
	}
	s := peer.slot(address{t.rank, tag})
	if s.full {
		return errors.New("the tag was used before")
	}
	s.data, s.full = collective.Align(data), true
	close(s.here)
	return nil
}

// check refuses a rank out of range and a context that has ended.
func (t *Transport) check(ctx context.Context, peer int) error {
	if peer < 0 || peer >= t.Size() {
		return fmt.Errorf("the rank is not in 0..%d", t.Size()-1)
	}
	return ctx.Err()
}

// left returns the error of a call whose peer is closed. If that peer left because of a third rank,
// the error blames the third. The first such error is passed on when this rank closes. The caller
// holds mu.
func (t *Transport) left(peer *Transport) error {
	e := &collective.PeerError{Rank: peer.rank, Err: collective.ErrClosed}
	if b := peer.blame; b != nil && b.Rank != t.rank {
		e = &collective.PeerError{Rank: b.Rank,
			Err: fmt.Errorf("reported by rank %d: %w", peer.rank, b.Err)}
	}
	if t.blame == nil {
		t.blame = e
	}
	return e
}

// slot returns the slot of a message, which it makes on first use. The caller holds mu.
func (t *Transport) slot(a address) *slot {
	s := t.inbox[a]
	if s == nil {
		s = &slot{here: make(chan struct{})}
		t.inbox[a] = s
	}
	return s
}

// Recv implements collective.Transport.
func (t *Transport) Recv(ctx context.Context, from int, tag collective.Tag) ([]byte, error) {
	data, err := t.recv(ctx, from, tag)
	if err != nil {
		return nil, fmt.Errorf("cannot receive step %d op %d of rank %d: %w",
			tag.Step, tag.Op, from, err)
	}
	t.received.Add(uint64(len(data)))
	return data, nil
}

// recv waits for a message until it arrives, either rank ends, ctx does, or the peer is silent for
// too long.
func (t *Transport) recv(ctx context.Context, from int, tag collective.Tag) ([]byte, error) {
	if err := t.check(ctx, from); err != nil {
		return nil, err
	}
	a := address{from, tag}
	s, peer, err := t.await(a)
	if err != nil {
		return nil, err
	}

	// Whatever ends the wait, take looks again under the lock whether the message has arrived.
	silence := time.NewTimer(t.w.opts.PeerTimeout)
	defer silence.Stop()
	for {
		select {
		case <-s.here:
		case <-t.ended:
		case <-peer.ended:
		case <-ctx.Done():
			err = ctx.Err()
		case <-silence.C:
			silence.Reset(t.w.opts.PeerTimeout)
			if t.alive(peer) {
				continue
			}
			err = t.lose(peer)
		}
		return t.take(a, s, peer, err)
	}
}

// await registers a call that waits for the message.
func (t *Transport) await(a address) (*slot, *Transport, error) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	s := t.slot(a)
	if s.awaited {
		return nil, nil, errors.New("another call waits for it")
	}
	s.awaited = true
	return s, t.w.transport(a.from), nil
}

// take ends the wait of a call: it returns the message if it has arrived, and otherwise why not. A
// full message wins over any error, since the select may have chosen either when both were ready.
// Without the message the entry is removed, so that a later call can wait for it.
func (t *Transport) take(a address, s *slot, peer *Transport, err error) ([]byte, error) {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	s.awaited = false
	if s.full && !t.closed {
		delete(t.inbox, a)
		return s.data, nil
	}
	if !s.full {
		delete(t.inbox, a)
	}

	switch {
	case t.err != nil:
		return nil, t.err
	case err != nil:
		return nil, err
	}
	return nil, t.left(peer)
}

// alive reports whether the peer has joined and does not look hung.
func (t *Transport) alive(peer *Transport) bool {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	return peer.joined && !peer.silent
}

// lose ends the own rank because of a peer that was silent for too long. Later calls fail with the
// same error, so that all of the rank's goroutines blame the same peer.
func (t *Transport) lose(peer *Transport) error {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	e := &collective.PeerError{Rank: peer.rank,
		Err: fmt.Errorf("no sign of life for %v", t.w.opts.PeerTimeout)}
	t.fail(e)
	return e
}

// fail ends the calls that wait, and later ones, with err. Only the first error counts. The caller
// holds mu.
func (t *Transport) fail(err error) {
	if t.err != nil {
		return
	}
	t.err = err
	errors.As(err, &t.blame)
	close(t.ended)
}

// Silence makes the rank look hung, for tests: from now on nothing comes from it or reaches it.
func (t *Transport) Silence() {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	t.silent = true
}

// Close implements collective.Transport. Peers can still receive what was sent before. The last
// rank to close also releases the job's entry in the hub.
func (t *Transport) Close() error {
	t.w.mu.Lock()
	if t.closed {
		t.w.mu.Unlock()
		return nil
	}
	t.closed = true
	t.inbox = map[address]*slot{}
	t.fail(collective.ErrClosed)
	t.w.open--
	last := t.w.open == 0
	t.w.mu.Unlock()
	if last {
		t.w.leave()
	}
	return nil
}

// Abort implements collective.Transport. It is Close, which waits for nobody here.
func (t *Transport) Abort() { t.Close() }
