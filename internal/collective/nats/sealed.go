package nats

import (
	"slices"

	"github.com/longtake/longtake/internal/collective/direct"
)

// Frames on direct connections. The header of a sealed one is sealed by itself and goes ahead, so
// that nothing is decided by one that is forged; the payload follows.

// sendDirect sends a chunk by a link, sealed if the attempt is.
func (p *peer) sendDirect(l *direct.Link, h header, payload []byte) (*direct.Conn, error) {
	var head [sealedHeaderBytes]byte
	if p.channel == nil {
		return l.Send(appendHeader(head[:0], h, len(payload)), payload, h.index)
	}

	buf := frames.Get().(*[]byte)
	defer frames.Put(buf)
	return l.SendSealed(h.index, func() ([]byte, []byte) {
		first, h := p.channel.appendHeader(head[:0], h)
		*buf = p.channel.sealPayload(slices.Grow((*buf)[:0], len(payload)+tagBytes), h, payload)
		return first, *buf
	})
}

// queueDirect sends an answer by a connection, likewise.
func (p *peer) queueDirect(c *direct.Conn, h header, payload []byte) {
	var head [sealedHeaderBytes]byte
	if p.channel == nil {
		c.Queue(appendHeader(head[:0], h, len(payload)), payload)
		return
	}
	first, h := p.channel.appendHeader(head[:0], h)
	c.QueueSealed(first, p.channel.sealPayload(nil, h, payload))
}

// openHeader checks a header that came by a direct connection, with a payload of n bytes. Without a
// key it has nothing to be checked by.
func (p *peer) openHeader(h header, tag []byte, n int) error {
	switch {
	case p.channel != nil && n >= tagBytes:
		return p.channel.openHeader(h, tag)
	case p.channel != nil || h.counter != 0 || len(tag) > 0:
		return errForged
	}
	return nil
}

// borrow takes memory of the pool, which the last frame has left in the CPU's cache: the kernel
// writes there, and opening reads there and writes to the chunk's place, so that what is sealed
// goes through the memory once, as what is not. It takes memory for n bytes that are to be opened.
func (f *directFrame) borrow(n int) {
	f.sealed = frames.Get().(*[]byte)
	*f.sealed = slices.Grow((*f.sealed)[:0], n)[:n]
}

// unseal opens what was read, if all of it was, and gives the memory back.
func (f *directFrame) unseal(whole bool) (ok bool, err error) {
	if whole {
		_, err = f.p.channel.openPayload(f.buf[:0], f.h, *f.sealed)
	}
	frames.Put(f.sealed)
	f.sealed = nil
	if err != nil {
		f.t.refuse(f.p, f.h, err)
	}
	return whole && err == nil, err
}
