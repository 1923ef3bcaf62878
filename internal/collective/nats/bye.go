package nats

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/longtake/longtake/internal/collective"
)

// byeCode is why a rank has left. It decides whom peers blame: a rank that left because of another
// one is not at fault itself. The numbers are part of the protocol.
type byeCode uint8

const (
	byeLeft   byeCode = iota // its work is done, or it gave up by itself
	byeFailed                // because of another rank
	byeStale                 // the attempt is over: a newer one has begun
)

// bye is the payload of a bye frame: code u8, rank u32 little endian, and the reason as text.
type bye struct {
	code byeCode
	rank uint32 // failed: the rank to blame
	text string
}

// byeTextMax bounds the reason, in bytes. The reason ends up in errors and logs of other ranks; 256
// bytes hold any error that the transports make themselves.
const byeTextMax = 256

// encode writes a bye, with its reason cut to byeTextMax.
func (b bye) encode() []byte {
	p := binary.LittleEndian.AppendUint32([]byte{byte(b.code)}, b.rank)
	return append(p, b.text[:min(len(b.text), byeTextMax)]...)
}

// parseBye reads one. An error counts as corruption; the sender's endpoint answers this rank's next
// ping with its bye again.
func parseBye(p []byte) (bye, error) {
	if len(p) < 5 || len(p) > 5+byeTextMax || byeCode(p[0]) > byeStale {
		return bye{}, fmt.Errorf("a bye of %d bytes is not valid", len(p))
	}
	return bye{byeCode(p[0]), binary.LittleEndian.Uint32(p[1:]), string(p[5:])}, nil
}

// byeFor says what a transport that ended with err tells its peers. Reasons that concern the own
// rank alone become byeLeft, since peers can do nothing with them.
func byeFor(err error) bye {
	var peer *collective.PeerError
	switch {
	case errors.As(err, &peer):
		return bye{code: byeFailed, rank: uint32(peer.Rank), text: peer.Err.Error()}
	case errors.Is(err, collective.ErrStale):
		return bye{code: byeStale}
	}
	return bye{}
}

// onBye handles a peer's bye. A peer that left by itself ends only the calls that need it; one that
// failed because of another rank ends all calls, blaming that rank. A bye that blames this rank, or
// its own sender, ends nothing but the calls that need the sender.
func (t *Transport) onBye(p *peer, h header, payload []byte) {
	b, err := parseBye(payload)
	if err != nil {
		t.e.corrupt.Add(1)
		return
	}
	switch {
	case b.code == byeStale:
		t.fail(collective.ErrStale)
	case b.code == byeFailed && b.rank != uint32(t.rank) && b.rank != h.src:
		t.fail(&collective.PeerError{Rank: int(b.rank),
			Err: fmt.Errorf("reported by rank %d: %s", h.src, b.text)})
	default:
		t.lose(p)
	}
}

// lose marks a peer that has left. What it sent completely can still be received. Messages to it
// are dropped unacknowledged, and Send calls that wait for credit wake up and find out.
func (t *Transport) lose(p *peer) {
	t.mu.Lock()
	if p.left != nil {
		t.mu.Unlock()
		return
	}
	link := p.link
	p.link = nil
	p.left = &collective.PeerError{Rank: p.rank, Err: collective.ErrClosed}
	p.out, p.flying = nil, 0
	close(p.gone)
	p.signal()
	t.mu.Unlock()
	if link != nil {
		link.Leave(t)
	}
}
