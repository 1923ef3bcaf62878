package nats

import (
	"slices"
	"time"

	"github.com/longtake/longtake/internal/collective/direct"
)

// pump sends what is queued for the peer, as far as its window allows. Callers of Send and the
// pacer run it at once. The mutex is released around each transmission, so several goroutines may
// interleave their chunks; pick never gives one chunk to two of them.
func (t *Transport) pump(p *peer, helper bool) {
	for {
		t.mu.Lock()
		m, chunk, ok := p.pick(time.Now(), t.room(p))
		if !ok {
			if helper {
				p.helpers-- // together with the look: who queues more starts another one
			}
			t.mu.Unlock()
			return
		}

		tries, link := m.chunks[chunk].tries, p.link
		t.mu.Unlock()
		if tries > 1 {
			t.retransmits.Add(1)
			t.e.resent.Add(1)
		}

		via := t.transmit(p, link, m, chunk)
		t.restamp(p, m, chunk, tries, via)
	}
}

// room returns the window of the peer, in bytes. TCP holds back by itself what goes directly, so
// that a wide one costs nothing there. The caller holds mu.
func (t *Transport) room(p *peer) int {
	if p.link != nil && p.link.Up() {
		return max(t.window, directWindow)
	}
	return t.window
}

// chunkBytes returns the size of chunks to the peer. Directly they cost little, and smaller ones
// share the connections, and let small messages pass. The caller holds mu.
func (t *Transport) chunkBytes(p *peer) int {
	if p.link != nil && p.link.Up() {
		return min(t.e.opts.ChunkBytes, directChunk)
	}
	return t.e.opts.ChunkBytes
}

// transmit sends a chunk that pick has taken into flight, directly where that is possible, and
// returns the connection; nil is NATS.
func (t *Transport) transmit(p *peer, l *direct.Link, m *outMessage, chunk uint32) *direct.Conn {
	lo, hi := m.g.span(chunk)
	h := header{kind: kindData, tag: m.tag, index: chunk, message: m.number, total: m.g.total,
		offset: lo}
	via := t.sendDirect(p, l, h, m.data[lo:hi])
	if via == nil {
		t.tell(p, h, m.data[lo:hi])
		t.e.overNATS.Add(hi - lo)
	}
	return via
}

// restamp makes the chunk's time and order count from the end of its transmission, which may have
// been held up while other goroutines sent later ones. tries tells whether it is still the same
// one. A connection that was cut in between has told so before the chunk was known to be on it.
func (t *Transport) restamp(p *peer, m *outMessage, chunk uint32, tries uint8, via *direct.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &m.chunks[chunk]
	if c.tries != tries {
		return
	}
	p.order++
	c.leaving, c.order, c.sentAt, c.via = false, p.order, time.Now(), via
	if m.sentOnce() {
		p.signal() // its Send may be waiting
	}
	if via != nil && !via.Alive() && c.state == chunkFlying && p.find(m.number) == m {
		p.land(m, chunk, false)
	}
}

// onAck takes in what the receiver has of a message: h.index leading chunks and those of the bitmap
// have arrived, and all messages below number h.offset are complete. Acknowledgements are
// cumulative: one that is lost or late costs nothing once a later one has come.
func (t *Transport) onAck(p *peer, h header, bitmap []byte) {
	t.mu.Lock()
	now := time.Now()
	for _, m := range slices.Clone(p.out) { // remove changes it
		switch {
		case m.number < h.offset:
			p.ackLeading(m, m.g.count, now)
		case m.number == h.message:
			p.ackLeading(m, h.index, now)
			p.ackBitmap(m, h.index, bitmap, now)
		}
		if m.unacked == 0 {
			p.remove(m)
		}
	}

	lost := p.losePassed()
	p.signal()
	t.mu.Unlock()
	if lost {
		t.wake()
	}
}

// ackLeading marks the first n chunks as arrived.
func (p *peer) ackLeading(m *outMessage, n uint32, now time.Time) {
	for i := m.low; i < min(n, m.next); i++ {
		p.acked(m, i, now)
	}
}

// ackBitmap marks the chunks as arrived whose bits are set, counted from a chunk on.
func (p *peer) ackBitmap(m *outMessage, from uint32, bitmap []byte, now time.Time) {
	for i := range uint32(8 * len(bitmap)) {
		if bitmap[i/8]>>(i%8)&1 != 0 && uint64(from)+uint64(i) < uint64(m.next) {
			p.acked(m, from+i, now)
		}
	}
}

// onLater parks a message that the peer has no room for. Its chunks leave the window, so that other
// messages, which the peer may wait for, can pass. The wait doubles each time, up to RetransmitMax,
// so that a receiver with no room is not flooded with chunks that it has to refuse.
func (t *Transport) onLater(p *peer, h header) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := p.find(h.message)
	if m == nil {
		return
	}
	for i := m.low; i < m.next; i++ {
		if m.chunks[i].state == chunkFlying {
			p.land(m, i, false)
		}
	}
	wait := t.e.opts.RetransmitAfter << min(m.parks, 8)
	m.parks++
	m.notBefore = time.Now().Add(min(wait, t.e.opts.RetransmitMax))
	p.signal()
}
