package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/direct"
)

// address names a message at its receiver. A tag is used once for each pair of ranks.
type address struct {
	from int
	tag  collective.Tag
}

// inMessage is a message that a call waits for, that is on its way in, or that has arrived. The
// transport's mutex guards it, except for the bytes of buf: until the message is full, whoever has
// claimed a chunk as busy writes them.
type inMessage struct {
	number   uint64 // of the sender; 0: a call waits, and nothing has come yet
	g        geometry
	buf      []byte
	got      bitset        // chunks that have arrived
	busy     bitset        // chunks that are being stored
	room     sync.Once     // of buf
	left     uint32        // chunks that are missing
	reserved int64         // bytes counted as unclaimed
	awaited  bool          // a call waits
	full     bool          // all chunks have arrived
	here     chan struct{} // closed with full
}

// message returns the entry of a message, which it makes on first use. The caller holds mu.
func (t *Transport) message(a address) *inMessage {
	m := t.inbox[a]
	if m == nil {
		m = &inMessage{here: make(chan struct{})}
		t.inbox[a] = m
	}
	return m
}

// await registers a call that waits for the message. Bytes that somebody waits for do not count as
// unclaimed. Fails with collective.ErrClosed after Close, and if another call waits for the same
// message, which could only go to one of them.
func (t *Transport) await(p *peer, a address) (*inMessage, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return nil, collective.ErrClosed
	}
	m := t.message(a)
	if m.awaited {
		return nil, errors.New("another call waits for it")
	}
	m.awaited = true
	t.release(m)
	p.waits++
	return m, nil
}

// release takes a message out of the count of unclaimed bytes, once. The caller holds mu.
func (t *Transport) release(m *inMessage) {
	t.e.unclaimed.Add(-m.reserved)
	m.reserved = 0
}

// take ends the wait of a call: it returns the message if it has arrived, and otherwise why not. A
// message that is partly here stays in the inbox, so that its remaining chunks find their place and
// a later call can still have it.
func (t *Transport) take(ctx context.Context, p *peer, a address, m *inMessage) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m.awaited = false
	p.waits--
	if m.full && !t.closing {
		delete(t.inbox, a)
		return m.buf, nil
	}

	if m.number == 0 {
		delete(t.inbox, a)
	}
	if err := t.ended(p); err != nil {
		return nil, err
	}
	return nil, ctx.Err()
}

// deliverOwn hands a message to the own rank over by reference. It needs no frame, number or
// window.
func (t *Transport) deliverOwn(tag collective.Tag, data []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ended(t.peers[t.rank]); err != nil {
		return err
	}
	m := t.message(address{t.rank, tag})
	if m.full {
		return errors.New("the tag was used before")
	}
	m.number, m.buf = 1, collective.Align(data)
	m.finish()
	return nil
}

// finish wakes the call that waits. The caller holds mu.
func (m *inMessage) finish() {
	m.full = true
	close(m.here)
}

// onData stores one chunk that came by NATS, and acknowledges it.
func (t *Transport) onData(p *peer, h header, payload []byte) {
	if m, _ := t.begin(p, nil, h, len(payload)); m != nil {
		m.store(h, payload)
		t.stored(p, m, h.index)
		t.ack(p, nil, m, h)
	}
}

// begin decides on a chunk of n bytes, and answers one that is not wanted, the way that it came
// (nil: NATS). One that is wanted is returned: the caller alone stores it, without the lock, and
// ends that with stored, or clears the claim.
func (t *Transport) begin(p *peer, via *direct.Conn, h header, n int) (*inMessage, geometry) {
	g, err := h.geometry(n)
	if err != nil || h.message == 0 {
		t.corrupt.Add(1)
		return nil, g
	}

	t.mu.Lock()
	m, verdict, err := t.admit(p, h, g)
	t.mu.Unlock()

	switch {
	case err != nil:
		t.fail(&collective.PeerError{Rank: p.rank, Err: err})
	case verdict == verdictStore:
		return m, g
	case verdict == verdictAck:
		t.ack(p, via, m, h)
	case verdict == verdictLater:
		t.answer(p, via, header{kind: kindLater, message: h.message}, nil)
	case verdict == verdictCorrupt:
		t.corrupt.Add(1)
	}
	return nil, g
}

// verdict is what becomes of a chunk.
type verdict uint8

const (
	verdictDrop    verdict = iota // no answer: its sender has left, or its copy is being stored
	verdictStore                  // it is new
	verdictAck                    // it has arrived before, or nobody wants it any more
	verdictLater                  // no room
	verdictCorrupt                // it contradicts other chunks of its message
)

// admit decides on a chunk, and makes the entry of the message if it is the first one. An error is
// the peer's fault and fails the transport. The caller holds mu.
func (t *Transport) admit(p *peer, h header, g geometry) (*inMessage, verdict, error) {
	if t.closing || p.complete.has(h.message) { // nobody will fetch it
		return nil, verdictAck, nil
	}
	if p.left != nil {
		return nil, verdictDrop, nil
	}
	if g.total > uint64(t.e.opts.BytesMax) {
		return nil, 0, fmt.Errorf("sends %d bytes, above the limit of %d", g.total, t.e.opts.BytesMax)
	}

	a := address{p.rank, h.tag}
	m := t.inbox[a]
	switch {
	case m == nil || m.number == 0:
		if m == nil && !t.reserve(int64(g.total)) {
			return nil, verdictLater, nil
		}
		m = t.enter(a, h.message, g)
	case m.number != h.message:
		return nil, 0, fmt.Errorf("used the tag of step %d op %d twice", h.tag.Step, h.tag.Op)
	case m.g != g:
		return nil, verdictCorrupt, nil
	case m.got.has(h.index):
		return m, verdictAck, nil
	case m.busy.has(h.index):
		return nil, verdictDrop, nil
	}

	m.busy.set(h.index)
	return m, verdictStore, nil
}

// reserve counts n bytes as unclaimed, if the endpoint has room for them. One that holds none takes
// a message of any size, since it could never take a large one otherwise.
func (t *Transport) reserve(n int64) bool {
	sum := t.e.unclaimed.Add(n)
	if sum > t.e.opts.UnclaimedBytes && sum != n {
		t.e.unclaimed.Add(-n)
		return false
	}
	return true
}

// enter makes the entry of a message whose first chunk has come. The caller holds mu and has
// reserved its bytes if nobody waits for it. The buffer itself is allocated outside the lock.
func (t *Transport) enter(a address, number uint64, g geometry) *inMessage {
	m := t.message(a)
	m.number, m.g, m.left, m.got = number, g, g.count, newBitset(g.count)
	m.busy = newBitset(g.count)
	if !m.awaited {
		m.reserved = int64(g.total)
	}
	return m
}

// allocate makes room for the message, once.
func (m *inMessage) allocate() {
	m.room.Do(func() { m.buf = collective.Dirty(int(m.g.total)) })
}

// store copies a chunk that came by NATS into the message. A message of one chunk stays in the
// buffer that NATS delivered it in.
func (m *inMessage) store(h header, payload []byte) {
	if m.g.count == 1 {
		m.buf = collective.Align(payload[:len(payload):len(payload)])
		return
	}
	m.allocate()
	copy(m.buf[h.offset:], payload)
}

// stored notes a chunk that is in its place. finish publishes what was written to the call that
// waits.
func (t *Transport) stored(p *peer, m *inMessage, chunk uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m.busy.clear(chunk)
	m.got.set(chunk)
	if m.left--; m.left == 0 {
		p.complete.add(m.number)
		m.finish()
	}
}

// ackBytesMax bounds the bitmap of an acknowledgement, in bytes. Chunks beyond it are reported once
// those before them have arrived. 256 bytes cover 2048 chunks, which is far more than a window of
// the default size holds.
const ackBytesMax = 256

// ack tells the peer what has arrived of the message; m is nil if all of it has and was received.
func (t *Transport) ack(p *peer, via *direct.Conn, m *inMessage, h header) {
	t.mu.Lock()
	a := header{kind: kindAck, message: h.message, offset: p.complete.low, index: chunksMax}
	var bitmap []byte
	if m != nil && !m.full {
		a.index = m.got.leading()
		bitmap = m.beyond(a.index)
	}
	t.mu.Unlock()
	t.answer(p, via, a, bitmap)
}

// beyond returns the bitmap of chunks that have arrived, from a chunk on, without trailing zeros.
func (m *inMessage) beyond(from uint32) (bitmap []byte) {
	for i := range min(m.g.count-from, 8*ackBytesMax) {
		if !m.got.has(from + i) {
			continue
		}
		for uint32(len(bitmap)) <= i/8 {
			bitmap = append(bitmap, 0)
		}
		bitmap[i/8] |= 1 << (i % 8)
	}
	return bitmap
}
