package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/longtake/longtake/internal/collective"
)

// address names a message at its receiver. A tag is used once for each pair of ranks.
type address struct {
	from int
	tag  collective.Tag
}

// inMessage is a message that a call waits for, that is on its way in, or that has arrived. The
// transport's mutex guards it, except for the bytes of buf: the endpoint's receiving goroutine
// alone writes them, until the message is full.
type inMessage struct {
	number   uint64 // of the sender; 0: a call waits, and nothing has come yet
	g        geometry
	buf      []byte
	got      bitset        // chunks that have arrived
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

// onData stores one chunk and acknowledges it. It runs on the endpoint's receiving goroutine alone,
// so a chunk can be copied without the lock.
func (t *Transport) onData(p *peer, h header, payload []byte) {
	g, err := h.geometry(len(payload))
	if err != nil || h.message == 0 {
		t.corrupt.Add(1)
		return
	}

	t.mu.Lock()
	m, verdict, err := t.admit(p, h, g)
	t.mu.Unlock()

	switch {
	case err != nil:
		t.fail(&collective.PeerError{Rank: p.rank, Err: err})
	case verdict == verdictStore:
		t.store(p, m, h, payload)
		t.ack(p, m, h)
	case verdict == verdictAck:
		t.ack(p, m, h)
	case verdict == verdictLater:
		t.tell(p, header{kind: kindLater, message: h.message}, nil)
	case verdict == verdictCorrupt:
		t.corrupt.Add(1)
	}
}

// verdict is what becomes of a chunk.
type verdict uint8

const (
	verdictDrop    verdict = iota // no answer: its sender has left
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
		return t.begin(a, h.message, g), verdictStore, nil
	case m.number != h.message:
		return nil, 0, fmt.Errorf("used the tag of step %d op %d twice", h.tag.Step, h.tag.Op)
	case m.g != g:
		return nil, verdictCorrupt, nil
	case m.got.has(h.index):
		return m, verdictAck, nil
	}
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

// begin makes the entry of a message whose first chunk has come. The caller holds mu and has
// reserved its bytes if nobody waits for it. The buffer itself is allocated by store, outside the
// lock.
func (t *Transport) begin(a address, number uint64, g geometry) *inMessage {
	m := t.message(a)
	m.number, m.g, m.left, m.got = number, g, g.count, newBitset(g.count)
	if !m.awaited {
		m.reserved = int64(g.total)
	}
	return m
}

// store copies the chunk into the message. A message of one chunk stays in the buffer that NATS
// delivered it in. The receiving goroutine is the only one that writes buf, and finish publishes it
// to the call that waits.
func (t *Transport) store(p *peer, m *inMessage, h header, payload []byte) {
	if m.g.count == 1 {
		m.buf = collective.Align(payload[:len(payload):len(payload)])
	} else {
		if m.buf == nil {
			m.buf = collective.NewBuffer(int(m.g.total))
		}
		copy(m.buf[h.offset:], payload)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m.got.set(h.index)
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
func (t *Transport) ack(p *peer, m *inMessage, h header) {
	t.mu.Lock()
	a := header{kind: kindAck, message: h.message, offset: p.complete.low, index: chunksMax}
	var bitmap []byte
	if m != nil && !m.full {
		a.index = m.got.leading()
		bitmap = m.beyond(a.index)
	}
	t.mu.Unlock()
	t.tell(p, a, bitmap)
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
