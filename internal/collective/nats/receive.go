package nats

import (
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// receive takes one frame of this attempt. The endpoint calls it for one frame after the other.
func (t *Transport) receive(h header, payload []byte) {
	if t.silent.Load() {
		return
	}
	p := t.accept(h)
	if p == nil {
		return
	}

	payload, err := p.open(h, payload)
	if err != nil {
		t.refuse(p, h, err)
		return
	}
	if !t.hear(p, h) {
		return
	}

	switch h.kind {
	case kindData:
		t.onData(p, h, payload)
	case kindAck:
		t.onAck(p, h, payload)
	case kindLater:
		t.onLater(p, h)
	case kindBye:
		t.onBye(p, h, payload)
	case kindPing:
		t.onOffer(p, payload)
	}
}

// accept returns the peer that a frame is of, nil if it is not for this rank's session.
func (t *Transport) accept(h header) *peer {
	if h.src >= uint32(len(t.peers)) || h.src == t.at.rank {
		t.corrupt.Add(1)
		return nil
	}
	if h.peerSession != 0 && h.peerSession != t.session {
		t.stale.Add(1)
		return nil
	}
	return t.peers[h.src]
}

// open returns the payload of a frame that came by NATS, once it is known to be the peer's.
func (p *peer) open(h header, payload []byte) ([]byte, error) {
	switch {
	case p.channel != nil:
		return p.channel.openFrame(h, payload)
	case h.counter != 0:
		return nil, errForged
	}
	return payload, nil
}

// refuse counts a frame that is not the peer's, or that was seen before. It changes nothing else:
// otherwise anybody could end an attempt.
func (t *Transport) refuse(p *peer, h header, err error) {
	t.e.forged.Add(1)
	if t.forged.Add(1) == 1 {
		t.e.opts.Log.Warn("a frame was dropped, as later ones will be without a word", "error", err,
			"job", fmt.Sprintf("%016x", t.at.job), "attempt", t.attempt, "rank", t.rank,
			"said to be of rank", p.rank, "kind", h.kind)
	}
}

// The new process has none of the state that the attempt needs from it.
var errRestarted = errors.New("started again within the attempt")

// hear notes a sign of life of the peer, and reports whether the frame is to be handled. The first
// one tells the peer's session; what was sent to it before is lost if it had not heard this rank by
// then. A different session later on means that the peer's process was started again, which fails
// the attempt.
func (t *Transport) hear(p *peer, h header) bool {
	t.mu.Lock()
	p.heardAt = time.Now()

	known := p.session
	switch {
	case known == h.session || h.session == 0 || (known != 0 && h.kind == kindBye):
		t.mu.Unlock()
		return known == h.session || known == 0 || h.session == 0
	case known == 0:
		p.session = h.session
		if h.peerSession == 0 {
			p.resend()
		}
		t.mu.Unlock()
		t.wake()
		t.ping(p)
		return true
	}
	t.mu.Unlock()

	t.fail(&collective.PeerError{Rank: p.rank, Err: errRestarted})
	return false
}

// wake makes the pacer look for chunks to send again, without waiting for its next tick.
func (t *Transport) wake() {
	select {
	case t.kick <- struct{}{}:
	default:
	}
}
