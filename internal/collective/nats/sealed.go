package nats

import (
	"slices"

	"github.com/longtake/longtake/internal/collective/direct"
)

// Sealed frames on direct connections. Their header is sealed by itself and goes ahead, so that
// nothing is decided by one that is forged; the payload follows.

// sendDirect seals a chunk and sends it by a link.
func (c *channel) sendDirect(l *direct.Link, h header, payload []byte) (*direct.Conn, error) {
	buf := frames.Get().(*[]byte)
	defer frames.Put(buf)
	var head [sealedHeaderBytes]byte

	return l.SendSealed(h.index, func() ([]byte, []byte) {
		first, h := c.appendHeader(head[:0], h)
		*buf = c.sealPayload(slices.Grow((*buf)[:0], len(payload)+tagBytes), h, payload)
		return first, *buf
	})
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

// borrow takes memory for n bytes that are to be opened.
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
