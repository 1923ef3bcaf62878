package nats

import (
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// pace keeps the transport's time until Close: retransmission, signs of life, and deadlines. It
// runs on a goroutine of its own. Its tick is a fraction of the shortest time that it has to keep,
// and a kick makes it look at once.
func (t *Transport) pace() {
	o := t.e.opts
	tick := max(min(o.RetransmitAfter/4, o.KeepAlive/2, o.PeerTimeout/8), time.Millisecond)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()

	last := time.Now()
	for {
		select {
		case <-t.stop:
			return
		case <-t.kick:
		case <-ticker.C:
			now := time.Now()
			t.tick(now, now.Sub(last) > o.PeerTimeout/2)
			last = now
		}

		for _, p := range t.peers {
			t.push(p)
		}
	}
}

// tick checks every peer's deadlines. After this process itself was stalled, say by a suspended
// machine, peers get all their time again, since nobody could hear them. No frame is sent and no
// transport failed under the mutex, which both take themselves.
func (t *Transport) tick(now time.Time, stalled bool) {
	if t.e.nc.IsClosed() {
		t.fail(fmt.Errorf("the NATS connection is closed: %w", collective.ErrClosed))
		return
	}
	for _, p := range t.peers {
		if p.rank == t.rank {
			continue
		}

		t.mu.Lock()
		if stalled {
			p.heardAt = now
		}
		p.loseOverdue(now, t.e.opts)
		quiet := now.Sub(p.toldAt) >= p.pingAfter(t.e.opts)
		silence := p.silence(now)
		t.mu.Unlock()

		if silence > t.e.opts.PeerTimeout {
			t.fail(&collective.PeerError{Rank: p.rank,
				Err: fmt.Errorf("no sign of life for %v", t.e.opts.PeerTimeout)})
		}
		if quiet {
			t.ping(p)
		}
	}
}

// pingAfter returns the time without a frame after which the peer is sent a sign of life. It is
// short for a peer that was never heard, which may not have joined yet, or have missed the first
// ping.
func (p *peer) pingAfter(o Options) time.Duration {
	if p.session == 0 {
		return min(o.RetransmitAfter, o.KeepAlive)
	}
	return o.KeepAlive
}

// silence returns for how long the peer has owed something without a sign of life. A peer that owes
// nothing may compute as long as it likes. The caller holds mu. The shorter of the two times
// counts: a peer that begins to owe after a long pause has the whole timeout, and so has one that
// was just heard.
func (p *peer) silence(now time.Time) time.Duration {
	if !p.owes() {
		p.owedAt = time.Time{}
		return 0
	}
	if p.owedAt.IsZero() {
		p.owedAt = now
	}
	return min(now.Sub(p.owedAt), now.Sub(p.heardAt))
}
