package nats

import (
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/direct"
)

// With Options.Direct a pair of ranks whose processes reach each other over TCP moves its chunks,
// and the answers to them, by direct connections. Signs of life and byes stay on NATS, and so do
// chunks while no connection is there: the frames are the same, and a message may come partly one
// way and partly the other.

// offer tells peers how to connect with this process; it travels in pings. nil: not at all.
func (t *Transport) offer() []byte {
	if d := t.e.opts.Direct; d != nil && !t.silent.Load() {
		return d.Offer().Encode()
	}
	return nil
}

// onOffer connects with the peer's process, if both sides can. Later pings repeat the offer.
func (t *Transport) onOffer(p *peer, payload []byte) {
	d := t.e.opts.Direct
	if d == nil || len(payload) == 0 {
		return
	}
	t.mu.Lock()
	known := p.link != nil || p.left != nil || t.closing
	t.mu.Unlock()
	if known {
		return
	}
	// One that cannot be read is of a later version: the pair stays on NATS.
	if o, err := direct.ParseOffer(payload); err == nil {
		t.setLink(p, d.Link(o, t))
	}
}

// setLink gives the peer a link that this transport has begun to use. A nil one means none.
func (t *Transport) setLink(p *peer, l *direct.Link) {
	if l == nil {
		return
	}
	t.mu.Lock()
	keep := p.link == nil && p.left == nil && !t.closing
	if keep {
		p.link = l
	}
	t.mu.Unlock()
	if !keep {
		l.Leave(t)
	}
}

// leaveLinks ends the use of all links.
func (t *Transport) leaveLinks() {
	for _, p := range t.peers {
		t.mu.Lock()
		l := p.link
		p.link = nil
		t.mu.Unlock()
		if l != nil {
			l.Leave(t)
		}
	}
}

// Cut implements direct.User: what was sent by the connection and is not acknowledged is lost.
func (t *Transport) Cut(c *direct.Conn) {
	t.mu.Lock()
	lost := false
	for _, p := range t.peers {
		if p.link == c.Link() {
			lost = p.loseIf(func(o *outChunk) bool { return o.via == c }) || lost
		}
	}
	t.mu.Unlock()
	if lost {
		t.wake()
	}
}

// Sent returns how many bytes of chunks the endpoint has sent by each way, and how many chunks it
// has sent again.
func (e *Endpoint) Sent() collective.Traffic {
	return collective.Traffic{NATS: e.overNATS.Load(), Direct: e.overDirect.Load(),
		Resent: e.resent.Load(), Forged: e.forged.Load()}
}

// sendDirect sends a chunk by the peer's link, and returns the connection; nil if there is none.
func (t *Transport) sendDirect(p *peer, l *direct.Link, h header, payload []byte) *direct.Conn {
	if l == nil || t.silent.Load() {
		return nil
	}
	t.mu.Lock()
	t.address(&h, p)
	t.mu.Unlock()

	c, err := p.sendDirect(l, h, payload)
	if err != nil {
		return nil
	}
	t.directSent.Add(uint64(len(payload)))
	t.e.overDirect.Add(uint64(len(payload)))
	return c
}

// answer sends an acknowledgement or a refusal the way that the chunk came.
func (t *Transport) answer(p *peer, via *direct.Conn, h header, payload []byte) {
	if via == nil {
		t.tell(p, h, payload)
		return
	}
	if t.silent.Load() {
		return
	}
	t.mu.Lock()
	t.address(&h, p)
	t.mu.Unlock()
	p.queueDirect(via, h, payload)
}

// push sends what is queued for the peer as far as its window allows. Writing to a connection may
// block for long, while callers of Send have contexts and the pacer has deadlines. So goroutines of
// their own do it, one for each connection that there is enough to send for.
func (t *Transport) push(p *peer) {
	t.mu.Lock()
	if p.link == nil || !p.link.Up() {
		t.mu.Unlock()
		t.pump(p, false)
		return
	}
	defer t.mu.Unlock()

	for n := min(p.link.Width(), p.helpers+p.waiting(time.Now())); p.helpers < n; p.helpers++ {
		if !t.e.opts.Direct.Go(func() { t.pump(p, true) }) {
			return
		}
	}
}

// waiting returns how many chunks wait to be sent of the message whose turn it is.
func (p *peer) waiting(now time.Time) int {
	m, _, ok := p.first(now)
	if !ok {
		return 0
	}
	return int(m.g.count-m.next) + m.again
}

// address sets the fields of a header that all frames to a peer share. The caller holds mu.
func (t *Transport) address(h *header, p *peer) {
	h.job, h.attempt, h.session, h.peerSession = t.at.job, t.attempt, t.session, p.session
	h.src, h.dst = t.at.rank, uint32(p.rank)
}

// Place implements direct.Receiver.
func (e *Endpoint) Place(c *direct.Conn, head []byte, n int) (direct.Sink, bool) {
	h, err := readHeader(head[:min(len(head), headerBytes)])
	if err != nil {
		e.corrupt.Add(1)
		return nil, false
	}
	t, _ := e.find(h) // nobody is answered
	if t == nil {
		return nil, false
	}
	if s := t.place(c, h, head[headerBytes:], n); s != nil {
		return s, true
	}
	return nil, true
}

// place takes one frame of this attempt that came by a direct connection, and says where its
// payload goes. The connection has to be with the peer's process; where that is not known yet, the
// frame has to name this rank's session, which only those know whom this rank has sent it. In a
// sealed attempt its header opens by itself, with the tag that follows it.
func (t *Transport) place(c *direct.Conn, h header, tag []byte, n int) *directFrame {
	if t.silent.Load() {
		return nil
	}
	p := t.accept(h)
	if p == nil {
		return nil
	}

	if err := p.openHeader(h, tag, n); err != nil {
		t.refuse(p, h, err)
		return nil
	}

	t.mu.Lock()
	link, left := p.link, p.left != nil
	t.mu.Unlock()
	if left || h.peerSession != t.session || link != nil && link != c.Link() {
		t.stale.Add(1)
		return nil
	}

	if link == nil && t.e.opts.Direct.Join(c.Link(), t) {
		t.setLink(p, c.Link())
	}

	if !t.hear(p, h) {
		return nil
	}

	f := &directFrame{t: t, p: p, c: c, h: h}
	if p.channel != nil {
		n -= tagBytes
	}

	switch h.kind {
	case kindData:
		f = f.admit(n)
	case kindAck, kindLater:
		if n > ackBytesMax {
			t.corrupt.Add(1)
			return nil
		}
		f.buf = make([]byte, n)
	default:
		return nil
	}

	if f != nil && p.channel != nil {
		f.borrow(n + tagBytes)
	}
	return f
}

// directFrame is a frame whose payload is being read. It implements direct.Sink.
type directFrame struct {
	t   *Transport
	p   *peer
	c   *direct.Conn
	h   header
	m   *inMessage // data: what it is a chunk of
	buf []byte     // where the payload goes
	// Where a sealed one is read, to be opened from there to buf: its chunk has no room for a tag.
	// Of frames.
	sealed *[]byte
}

// admit finds the chunk's place in its message; nil if nobody wants it.
func (f *directFrame) admit(n int) *directFrame {
	m, g := f.t.begin(f.p, f.c, f.h, n)
	if m == nil {
		return nil
	}
	m.allocate()
	lo, hi := g.span(f.h.index)
	f.m, f.buf = m, m.buf[lo:hi]
	return f
}

// Buffer implements direct.Sink.
func (f *directFrame) Buffer() []byte {
	if f.sealed != nil {
		return *f.sealed
	}
	return f.buf
}

// Done implements direct.Sink.
func (f *directFrame) Done(ok bool) (err error) {
	if f.sealed != nil {
		ok, err = f.unseal(ok)
	}

	switch {
	case f.m != nil && ok:
		f.t.stored(f.p, f.m, f.h.index)
		f.t.ack(f.p, f.c, f.m, f.h)
	case f.m != nil:
		f.t.mu.Lock()
		f.m.busy.clear(f.h.index)
		f.t.mu.Unlock()
	case ok && f.h.kind == kindAck:
		f.t.onAck(f.p, f.h, f.buf)
	case ok:
		f.t.onLater(f.p, f.h)
	}
	return err
}
