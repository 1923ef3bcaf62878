package nats

import (
	"math/bits"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/direct"
)

// peer is what a transport knows of another rank. The transport's mutex guards it.
type peer struct {
	rank    int
	subject string
	channel *channel // seals and opens frames; nil: they are not sealed
	// The direct connections with its process; nil: none.
	link    *direct.Link
	helpers int // goroutines that pump along, see help
	// The random number of its process's transport; 0: never heard.
	session uint64
	// Why it is gone, once it said bye; the error of later calls that need it.
	left    *collective.PeerError
	gone    chan struct{} // closed with left
	heardAt time.Time     // of its latest frame
	toldAt  time.Time     // of the latest frame to it
	// Since when it has owed something; zero: it owes nothing.
	owedAt time.Time
	waits  int // Recv calls that wait for it

	// Outbound.
	lastNumber uint64        // of the latest message
	out        []*outMessage // not yet acknowledged, oldest first
	// Bytes sent and neither acknowledged nor lost, which the window bounds.
	flying int
	order  uint64 // of the latest transmission
	// The latest transmission known to have arrived; those well before it are lost.
	ackedOrder uint64
	credit     chan struct{} // closed and replaced at every change of out
	srtt       time.Duration // smoothed round trip and its deviation, RFC 6298
	rttvar     time.Duration

	complete numberSet // inbound messages that are complete
}

// reordering is how many later transmissions must have arrived before a chunk counts as lost, as
// the duplicate acknowledgements of RFC 6675. Fewer would send chunks twice that two goroutines of
// one sender have merely swapped.
const reordering = 3

// outMessage is a message on its way out. It stays in the peer's queue until the last chunk is
// acknowledged, and its data with it.
type outMessage struct {
	number  uint64
	tag     collective.Tag
	data    []byte
	g       geometry
	chunks  []outChunk
	low     uint32 // chunks below are acknowledged
	next    uint32 // chunks from here on were never sent
	again   int    // chunks before next that are to be sent again
	unacked int    // chunks
	// When to send again after the peer said later.
	notBefore time.Time
	// How many times it did, which doubles the wait.
	parks int
}

// outChunk is a chunk of an outMessage.
type outChunk struct {
	state   chunkState
	leaving bool      // its transmission has begun and not ended
	tries   uint8     // transmissions
	order   uint64    // of the latest one, among all to the peer
	sentAt  time.Time // of the latest one
	// What it went by, nil for NATS.
	via *direct.Conn
}

type chunkState uint8

const (
	chunkWaiting chunkState = iota // to be sent, or to be sent again
	chunkFlying                    // sent, and neither acknowledged nor lost
	chunkAcked
)

// newPeer makes a peer that was not heard yet.
func newPeer(rank int, subject string, now time.Time, keys *keyring) *peer {
	return &peer{rank: rank, subject: subject, channel: keys.channel(uint32(rank)), heardAt: now,
		toldAt: now,
		gone:   make(chan struct{}), credit: make(chan struct{}), complete: numberSet{low: 1}}
}

// signal wakes the calls that wait for the queue to change.
func (p *peer) signal() {
	close(p.credit)
	p.credit = make(chan struct{})
}

// enqueue numbers a message and puts it last in the queue.
func (p *peer) enqueue(tag collective.Tag, data []byte, g geometry) *outMessage {
	p.lastNumber++
	m := &outMessage{number: p.lastNumber, tag: tag, data: data, g: g,
		chunks: make([]outChunk, g.count), unacked: int(g.count)}
	p.out = append(p.out, m)
	return m
}

// sentOnce reports whether every chunk was sent at least once, which is when Send returns.
func (m *outMessage) sentOnce() bool { return m.next == m.g.count }

// bytes returns the size of a chunk.
func (m *outMessage) bytes(chunk uint32) int {
	lo, hi := m.g.span(chunk)
	return int(hi - lo)
}

// waiting returns the next chunk to send, lost ones first; ok is false if there is none.
func (m *outMessage) waiting() (chunk uint32, ok bool) {
	if m.again > 0 {
		for i := m.low; i < m.next; i++ {
			if m.chunks[i].state == chunkWaiting {
				return i, true
			}
		}
	}
	return m.next, m.next < m.g.count
}

// pick takes the next chunk into flight that the window, in bytes, has room for. A chunk larger
// than the window flies alone, as does the first one to a peer that was never heard.
func (p *peer) pick(now time.Time, window int) (m *outMessage, chunk uint32, ok bool) {
	if p.session == 0 {
		window = 0
	}

	if m, chunk, ok = p.first(now); !ok || p.flying > 0 && p.flying+m.bytes(chunk) > window {
		return nil, 0, false
	}
	p.launch(m, chunk, now)
	return m, chunk, true
}

// first returns the chunk whose turn it is: the oldest message's, or that of a message of one chunk
// behind it, which would otherwise wait for all the others.
func (p *peer) first(now time.Time) (m *outMessage, chunk uint32, ok bool) {
	for _, x := range p.out {
		if now.Before(x.notBefore) || ok && x.g.count > 1 {
			continue
		}

		i, waits := x.waiting()
		if waits && x.g.count == 1 {
			return x, i, true
		}
		if waits {
			m, chunk, ok = x, i, true
		}
	}
	return m, chunk, ok
}

// launch takes a chunk into flight.
func (p *peer) launch(m *outMessage, chunk uint32, now time.Time) {
	if chunk == m.next {
		m.next++
	} else {
		m.again--
	}
	c := &m.chunks[chunk]
	c.state, c.leaving, c.sentAt = chunkFlying, true, now
	c.tries = min(c.tries, 250) + 1
	p.flying += m.bytes(chunk)
}

// land takes a chunk out of flight, as acknowledged or to be sent again. An acknowledgement may
// also come for a chunk that counts as lost already.
func (p *peer) land(m *outMessage, chunk uint32, acked bool) {
	c := &m.chunks[chunk]
	switch {
	case c.state == chunkFlying:
		p.flying -= m.bytes(chunk)
		if !acked {
			m.again++
		}
	case c.state == chunkWaiting && acked && chunk < m.next:
		m.again--
	}

	c.state = chunkWaiting
	if acked {
		c.state = chunkAcked
		m.unacked--
	}
	for m.low < m.next && m.chunks[m.low].state == chunkAcked {
		m.low++
	}
}

// resend marks all that is in flight as lost, so that it is sent again.
func (p *peer) resend() {
	p.loseIf(func(*outChunk) bool { return true })
}

// losePassed marks the chunks as lost that later transmissions have passed. On direct connections
// they overtake each other all the time, and are not lost while theirs is there.
func (p *peer) losePassed() bool {
	return p.loseIf(func(c *outChunk) bool {
		return c.via == nil && c.order+reordering < p.ackedOrder
	})
}

// firstWait is how many times RetransmitAfter a chunk may take while no round trip is measured yet:
// the peer may be starting, or busy.
const firstWait = 5

// loseOverdue marks the chunks as lost whose retransmission time has passed, which doubles with
// each try. A peer that was never heard has not joined yet; its first sign of life starts
// retransmission.
func (p *peer) loseOverdue(now time.Time, o Options) bool {
	if p.session == 0 {
		return false
	}
	base := max(o.RetransmitAfter, p.srtt+4*p.rttvar)
	if p.srtt == 0 {
		base = firstWait * o.RetransmitAfter
	}
	base = min(base, o.RetransmitMax)

	return p.loseIf(func(c *outChunk) bool {
		// A cut tells what is lost; this is for a chunk that met its own copy, see admit.
		if c.via != nil {
			return now.Sub(c.sentAt) > o.RetransmitMax<<min(c.tries-1, 2)
		}
		wait := min(base<<min(c.tries-1, 8), o.RetransmitMax)
		return now.Sub(c.sentAt) > wait
	})
}

// loseIf marks chunks in flight as lost, and reports whether there were any. Chunks whose
// transmission has not ended are left alone: their time does not count yet.
func (p *peer) loseIf(lost func(*outChunk) bool) (any bool) {
	for _, m := range p.out {
		for i := m.low; i < m.next; i++ {
			if c := &m.chunks[i]; c.state == chunkFlying && !c.leaving && lost(c) {
				p.land(m, i, false)
				any = true
			}
		}
	}
	return any
}

// find returns the outbound message of the number, or nil if it is acknowledged or unknown.
func (p *peer) find(number uint64) *outMessage {
	for _, m := range p.out {
		if m.number == number {
			return m
		}
	}
	return nil
}

// remove takes a message out of the queue, and its chunks out of flight. It does nothing for one
// that was removed before.
func (p *peer) remove(m *outMessage) {
	i := slices.Index(p.out, m)
	if i < 0 {
		return
	}
	for c := m.low; c < m.next; c++ {
		if m.chunks[c].state == chunkFlying {
			p.flying -= m.bytes(c)
		}
	}
	p.out = slices.Delete(p.out, i, i+1)
	p.signal()
}

// acked notes one acknowledged chunk. Only one that was sent once tells the round trip, since the
// answer could be to any of several transmissions (Karn's algorithm).
func (p *peer) acked(m *outMessage, chunk uint32, now time.Time) {
	c := &m.chunks[chunk]
	if c.state == chunkAcked || chunk >= m.next {
		return
	}
	if c.via == nil {
		if c.tries == 1 {
			p.measure(now.Sub(c.sentAt))
		}
		p.ackedOrder = max(p.ackedOrder, c.order)
	}
	p.land(m, chunk, true)
}

// measure takes a round trip into the running mean and deviation, with the weights of RFC 6298. The
// first one counts whole, and half of it as the deviation.
func (p *peer) measure(rtt time.Duration) {
	if p.srtt == 0 {
		p.srtt, p.rttvar = rtt, rtt/2
		return
	}
	p.rttvar += ((p.srtt - rtt).Abs() - p.rttvar) / 4
	p.srtt += (rtt - p.srtt) / 8
}

// owes reports whether a message or an acknowledgement of the peer is outstanding.
func (p *peer) owes() bool { return p.left == nil && (p.waits > 0 || len(p.out) > 0) }

// numberSet holds message numbers: all below low, and those in beyond. Messages complete nearly in
// order, so beyond stays small.
type numberSet struct {
	low    uint64
	beyond map[uint64]struct{}
}

func (s *numberSet) has(n uint64) bool {
	_, ok := s.beyond[n]
	return n < s.low || ok
}

func (s *numberSet) add(n uint64) {
	if s.beyond == nil {
		s.beyond = map[uint64]struct{}{}
	}
	s.beyond[n] = struct{}{}
	for {
		if _, ok := s.beyond[s.low]; !ok {
			return
		}
		delete(s.beyond, s.low)
		s.low++
	}
}

// bitset holds one bit per chunk.
type bitset []uint64

func newBitset(n uint32) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i uint32) bool { return b[i/64]>>(i%64)&1 != 0 }

func (b bitset) set(i uint32) { b[i/64] |= 1 << (i % 64) }

func (b bitset) clear(i uint32) { b[i/64] &^= 1 << (i % 64) }

// leading returns the count of set bits before the first clear one.
func (b bitset) leading() (n uint32) {
	for _, w := range b {
		if ^w != 0 {
			return n + uint32(bits.TrailingZeros64(^w))
		}
		n += 64
	}
	return n
}
