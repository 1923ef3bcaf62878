// Package inproc hands over by reference what ranks of one process send each other, whatever
// transport joins them with the others: that one carries a number, under which the data lies on a
// shelf. Deadlines, blame and the order of attempts are thus the transport's own.
package inproc

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/longtake/longtake/internal/collective"
)

// Shelf is where the ranks of a process leave data for each other. The zero value is ready to use.
type Shelf struct {
	mu     sync.Mutex
	last   uint64
	boards map[string]*board
}

// board is what the ranks of one attempt leave. It goes once all of them have been here and are
// closed, or once those that are here have failed.
type board struct {
	data               map[uint64][]byte
	want, joined, open int // ranks
	failed             bool
}

// Len returns how many attempts have something there.
func (s *Shelf) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.boards)
}

// Handed returns how many pieces of data have been left there so far.
func (s *Shelf) Handed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *Shelf) join(attempt string, ranks int) *board {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boards[attempt]
	if b == nil {
		b = &board{data: map[uint64][]byte{}, want: ranks}
		if s.boards == nil {
			s.boards = map[string]*board{}
		}
		s.boards[attempt] = b
	}
	b.joined++
	b.open++
	return b
}

func (s *Shelf) leave(attempt string, b *board, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.open--
	b.failed = b.failed || failed
	if b.open == 0 && (b.failed || b.joined >= b.want) && s.boards[attempt] == b {
		delete(s.boards, attempt)
	}
}

func (s *Shelf) put(b *board, data []byte) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	b.data[s.last] = data
	return s.last
}

func (s *Shelf) take(b *board, number uint64) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := b.data[number]
	delete(b.data, number)
	return data, ok
}

// Transport is a rank that hands over by reference to some of the others.
type Transport struct {
	collective.Transport
	shelf   *Shelf
	attempt string
	board   *board
	near    []bool // by rank
	once    sync.Once
	failed  atomic.Bool // a call has

	sent, received atomic.Uint64 // bytes that did not travel, less the numbers
}

// numberBytes is the size of what travels.
const numberBytes = 8

// New makes t hand over by reference to the ranks for which near is set: those of the same attempt
// whose transports are made with the same shelf and flags. attempt names it, job included.
func New(t collective.Transport, shelf *Shelf, attempt string, near []bool) *Transport {
	if len(near) != t.Size() || !near[t.Rank()] {
		panic(fmt.Sprintf("inproc: %v are no flags for rank %d of %d", near, t.Rank(), t.Size()))
	}
	ranks := 0
	for _, n := range near {
		if n {
			ranks++
		}
	}
	return &Transport{Transport: t, shelf: shelf, attempt: attempt, near: near,
		board: shelf.join(attempt, ranks)}
}

// Near implements collective.Neighbours.
func (t *Transport) Near(rank int) bool {
	return rank >= 0 && rank < len(t.near) && rank != t.Rank() && t.near[rank]
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
	if !t.Near(to) {
		return t.Transport.Send(ctx, to, tag, data)
	}
	number := t.shelf.put(t.board, collective.Align(data))
	err := t.Transport.Send(ctx, to, tag, binary.LittleEndian.AppendUint64(nil, number))
	if err != nil {
		t.shelf.take(t.board, number)
		return err
	}
	t.sent.Add(uint64(len(data)) - numberBytes) // may be below 0: the sum is right
	return nil
}

// Recv implements collective.Transport.
func (t *Transport) Recv(ctx context.Context, from int, tag collective.Tag) ([]byte, error) {
	data, err := t.recv(ctx, from, tag)
	if err != nil {
		t.failed.Store(true)
	}
	return data, err
}

func (t *Transport) recv(ctx context.Context, from int, tag collective.Tag) ([]byte, error) {
	b, err := t.Transport.Recv(ctx, from, tag)
	if err != nil || !t.Near(from) {
		return b, err
	}
	if len(b) != numberBytes {
		return nil, &collective.PeerError{Rank: from,
			Err: fmt.Errorf("sent %d bytes, not the number of what it left here", len(b))}
	}
	data, ok := t.shelf.take(t.board, binary.LittleEndian.Uint64(b))
	if !ok {
		return nil, &collective.PeerError{Rank: from, Err: collective.ErrClosed}
	}
	t.received.Add(uint64(len(data)) - numberBytes)
	return data, nil
}

// Stats implements collective.Transport: what is handed over counts as if it travelled, the numbers
// do not.
func (t *Transport) Stats() collective.Stats {
	s := t.Transport.Stats()
	s.BytesSent += t.sent.Load()
	s.BytesReceived += t.received.Load()
	return s
}

// Close implements collective.Transport.
func (t *Transport) Close() error {
	defer t.once.Do(func() { t.shelf.leave(t.attempt, t.board, t.failed.Load()) })
	return t.Transport.Close()
}

// Abort implements collective.Transport.
func (t *Transport) Abort() {
	defer t.once.Do(func() { t.shelf.leave(t.attempt, t.board, true) })
	t.Transport.Abort()
}

// Silence makes the rank look hung, for tests, where the transport below can.
func (t *Transport) Silence() {
	if s, ok := t.Transport.(interface{ Silence() }); ok {
		s.Silence()
	}
}
