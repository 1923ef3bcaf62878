package nats

import "time"

// pump sends what waits for the peer, as far as its window goes.
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

func (t *Transport) transmit(p *peer, m *outMessage, chunk uint32) {
	lo, hi := m.g.span(chunk)
	t.tell(p, header{kind: kindData, tag: m.tag, index: chunk, message: m.number,
		total: m.g.total, offset: lo}, m.data[lo:hi])
}

// restamp lets the chunk's time and order count from the end of its transmission, which may have
// been held up and overtaken by that of other goroutines.
func (t *Transport) restamp(p *peer, m *outMessage, chunk uint32, tries uint8) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := &m.chunks[chunk]; c.tries == tries {
		p.order++
		c.leaving, c.order, c.sentAt = false, p.order, time.Now()
	}
}

// onAck takes the receiver's word on a message: h.index leading chunks and those of the bitmap are
// there, and all messages below number h.offset are complete.
func (t *Transport) onAck(p *peer, h header, bitmap []byte) {
	t.mu.Lock()
	now := time.Now()
	for _, m := range append([]*outMessage(nil), p.out...) {
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

func (p *peer) ackLeading(m *outMessage, n uint32, now time.Time) {
	for i := m.low; i < min(n, m.next); i++ {
		p.acked(m, i, now)
	}
}

func (p *peer) ackBitmap(m *outMessage, from uint32, bitmap []byte, now time.Time) {
	for i := range uint32(8 * len(bitmap)) {
		if bitmap[i/8]>>(i%8)&1 != 0 && uint64(from)+uint64(i) < uint64(m.next) {
			p.acked(m, from+i, now)
		}
	}
}

// onLater parks a message that the peer has no room for: its chunks leave the window, so that
// others, which the peer may wait for, can pass.
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
