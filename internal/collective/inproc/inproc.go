package inproc

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/longtake/longtake/internal/collective"
)

// handleBytes is the size of a handle, which travels in place of the data.
const handleBytes = 8

// Transport is a rank that hands data over by reference to the ranks of its own process. It is safe
// for concurrent use, as the transport below it is.
type Transport struct {
	collective.Transport
	handoff     *Handoff
	attempt     string
	data        *attemptData
	sameProcess []bool // by rank
	leave       sync.Once
	failed      atomic.Bool // a call has

	// What was handed over, in bytes, less the handles that travelled for it: Stats adds both to
	// what the transport below has counted. A piece shorter than a handle makes them wrap below 0,
	// and the sums are right all the same.
	sent, received atomic.Uint64
}

// New wraps t, which hands over by reference to the ranks for which sameProcess is set, the own one
// among them. Those ranks wrap their transports of the same attempt with the same handoff and
// flags. attempt names the attempt and its job within the process. New panics where the flags do
// not fit the ranks of t.
func New(t collective.Transport, handoff *Handoff, attempt string, sameProcess []bool) *Transport {
	if len(sameProcess) != t.Size() || !sameProcess[t.Rank()] {
		panic(fmt.Sprintf("inproc: %v are no flags for rank %d of %d", sameProcess, t.Rank(), t.Size()))
	}
	ranks := 0
	for _, same := range sameProcess {
		if same {
			ranks++
		}
	}
	return &Transport{Transport: t, handoff: handoff, attempt: attempt, sameProcess: sameProcess,
		data: handoff.join(attempt, ranks)}
}

// SameProcess implements collective.Colocated. It is false for the own rank, whose messages the
// transport below hands over by itself.
func (t *Transport) SameProcess(rank int) bool {
	return rank >= 0 && rank < len(t.sameProcess) && rank != t.Rank() && t.sameProcess[rank]
}

// Send implements collective.Transport.
func (t *Transport) Send(ctx context.Context, to int, tag collective.Tag, data []byte) error {
	err := t.send(ctx, to, tag, data)
	if err != nil {
		t.failed.Store(true)
	}
	return err
}

func (t *Transport) send(ctx context.Context, to int, tag collective.Tag, data []byte) error {
	if !t.SameProcess(to) {
		return t.Transport.Send(ctx, to, tag, data)
	}
	handle := t.handoff.put(t.data, collective.Align(data))
	err := t.Transport.Send(ctx, to, tag, binary.LittleEndian.AppendUint64(nil, handle))
	if err != nil {
		t.handoff.take(t.data, handle)
		return err
	}
	t.sent.Add(uint64(len(data)) - handleBytes)
	return nil
}

// Recv implements collective.Transport. Data that its sender took back, because it failed
// meanwhile, gives a *collective.PeerError.
func (t *Transport) Recv(ctx context.Context, from int, tag collective.Tag) ([]byte, error) {
	data, err := t.recv(ctx, from, tag)
	if err != nil {
		t.failed.Store(true)
	}
	return data, err
}

func (t *Transport) recv(ctx context.Context, from int, tag collective.Tag) ([]byte, error) {
	b, err := t.Transport.Recv(ctx, from, tag)
	if err != nil || !t.SameProcess(from) {
		return b, err
	}
	if len(b) != handleBytes {
		return nil, &collective.PeerError{Rank: from,
			Err: fmt.Errorf("sent %d bytes, not a handle of data in this process", len(b))}
	}
	data, ok := t.handoff.take(t.data, binary.LittleEndian.Uint64(b))
	if !ok {
		return nil, &collective.PeerError{Rank: from, Err: collective.ErrClosed}
	}
	t.received.Add(uint64(len(data)) - handleBytes)
	return data, nil
}

// Stats implements collective.Transport. Data handed over counts as if it had travelled, and the
// handles do not count.
func (t *Transport) Stats() collective.Stats {
	s := t.Transport.Stats()
	s.BytesSent += t.sent.Load()
	s.BytesReceived += t.received.Load()
	return s
}

// Close implements collective.Transport.
func (t *Transport) Close() error {
	defer t.leave.Do(func() { t.handoff.leave(t.attempt, t.data, t.failed.Load()) })
	return t.Transport.Close()
}

// Abort implements collective.Transport.
func (t *Transport) Abort() {
	defer t.leave.Do(func() { t.handoff.leave(t.attempt, t.data, true) })
	t.Transport.Abort()
}

// Silence makes the rank look hung, for tests, if the transport below can.
func (t *Transport) Silence() {
	if s, ok := t.Transport.(interface{ Silence() }); ok {
		s.Silence()
	}
}
