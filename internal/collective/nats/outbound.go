package nats

import (
	"slices"
	"time"
)

// pump sends what is queued for the peer, as far as its window allows. Callers of Send and the
// pacer run it at once. The mutex is released around each transmission, so several goroutines may
// interleave their chunks; pick never gives one chunk to two of them.
func (t *Transport) pump(p *peer) {
	for {
		t.mu.Lock()
		m, chunk, ok := p.pick(time.Now(), t.window)
		if !ok {
			t.mu.Unlock()
			return
		}
		tries := m.chunks[chunk].tries
		t.mu.Unlock()
		if tries > 1 {
			t.retransmits.Add(1)
		}
		t.transmit(p, m, chunk)
		t.restamp(p, m, chunk, tries)
	}
}

// transmit sends a chunk that pick has taken into flight.
func (t *Transport) transmit(p *peer, m *outMessage, chunk uint32) {
	lo, hi := m.g.span(chunk)
	t.tell(p, header{kind: kindData, tag: m.tag, index: chunk, message: m.number,
		total: m.g.total, offset: lo}, m.data[lo:hi])
}

// restamp makes the chunk's time and order count from the end of its transmission, which may have
// been held up while other goroutines sent later ones. tries tells whether it is still the same
// one.
func (t *Transport) restamp(p *peer, m *outMessage, chunk uint32, tries uint8) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := &m.chunks[chunk]; c.tries == tries {
		p.order++
		c.leaving, c.order, c.sentAt = false, p.order, time.Now()
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
