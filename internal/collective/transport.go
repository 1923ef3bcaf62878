package collective

import (
	"context"
	"errors"
	"fmt"
)

// Errors of a Transport; test with errors.Is.
var (
	ErrClosed = errors.New("the transport is closed")
	ErrStale  = errors.New("a newer attempt of the job has begun")
)

// Tag names a message between two ranks: the denoising step and the operation within it.
type Tag struct{ Step, Op uint32 }

// Transport delivers messages between the ranks of one attempt of a job.
type Transport interface {
	// Rank returns the own rank, 0 <= Rank < Size.
	Rank() int
	// Size returns the number of ranks.
	Size() int
	// Send hands data over to be delivered to rank `to`; it may return before it has arrived and
	// blocks while the peer's credit window is full.
	Send(ctx context.Context, to int, tag Tag, data []byte) error
	// Recv waits for the message of rank `from` with the tag.
	Recv(ctx context.Context, from int, tag Tag) ([]byte, error)
	// Stats returns what was moved so far.
	Stats() Stats
	// Close leaves the attempt: waiting calls return an error. It lets what was sent arrive first.
	Close() error
	// Abort is Close for an attempt that failed: it waits for no peer.
	Abort()
}

// Neighbours is offered by transports that know of ranks in their own process.
type Neighbours interface {
	// Near reports whether a rank is in this process, so that what is sent to it may refer to memory.
	Near(rank int) bool
}

// Near reports whether a rank of t is known to be in this process.
func Near(t Transport, rank int) bool {
	n, ok := t.(Neighbours)
	return ok && n.Near(rank)
}

// Stats counts a transport's work since it was opened.
type Stats struct {
	BytesSent, BytesReceived uint64 // payload bytes, without retransmissions
	Retransmits              uint64 // chunks sent again
	Corrupt                  uint64 // chunks dropped for a wrong checksum or frame
	Stale                    uint64 // messages dropped for an older attempt
}

// PeerError says that a rank failed or stayed silent.
type PeerError struct {
	Rank int
	Err  error
}

// Error names the rank and the reason.
func (e *PeerError) Error() string { return fmt.Sprintf("rank %d: %v", e.Rank, e.Err) }

// Unwrap returns the reason.
func (e *PeerError) Unwrap() error { return e.Err }
