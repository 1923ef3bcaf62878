package collective

import (
	"context"
	"errors"
	"fmt"
)

// Errors of a Transport; test with errors.Is.
var (
	// ErrClosed is returned by calls on a closed transport and, within a *PeerError, by calls that
	// need a peer which has closed its own.
	ErrClosed = errors.New("the transport is closed")
	// ErrStale is returned by calls of an attempt that a newer one has replaced, and by joining it.
	ErrStale = errors.New("a newer attempt of the job has begun")
)

// Tag names a message between two ranks: the denoising step, and the operation within the step, as
// the caller numbers them.
type Tag struct{ Step, Op uint32 }

// Transport delivers messages between the ranks of one attempt of a job. See the package comment
// for the contract.
type Transport interface {
	// Rank returns the own rank, 0 <= Rank < Size.
	Rank() int
	// Size returns the number of ranks.
	Size() int
	// Send hands data over to be delivered to rank to, the own one included. It may return before
	// the data has arrived, and blocks while the peer's credit window is full. Using a tag twice is
	// an error, here or at the peer.
	Send(ctx context.Context, to int, tag Tag, data []byte) error
	// Recv waits for the message of rank from with the tag. Only one call may wait for a message; if
	// ctx ends it, a later call can still receive it.
	Recv(ctx context.Context, from int, tag Tag) ([]byte, error)
	// Stats returns what has been moved so far.
	Stats() Stats
	// Close leaves the attempt: waiting calls return an error. It lets what was sent arrive first,
	// as far as peers answer in time. Closing again does nothing.
	Close() error
	// Abort is Close for an attempt that failed: it waits for no peer.
	Abort()
}

// Colocated is implemented by transports that know which ranks share their process.
type Colocated interface {
	// SameProcess reports whether a rank is in this process, so that what is sent to it may refer to
	// memory, of the host or of a device.
	SameProcess(rank int) bool
}

// SameProcess reports whether a rank of t is known to be in this process; false where t cannot
// tell.
func SameProcess(t Transport, rank int) bool {
	n, ok := t.(Colocated)
	return ok && n.SameProcess(rank)
}

// Stats counts a transport's work since it was opened.
type Stats struct {
	BytesSent, BytesReceived uint64 // payload bytes, without retransmissions
	BytesDirect              uint64 // payload bytes that left by direct connections, all told
	Retransmits              uint64 // chunks sent again
	Corrupt                  uint64 // chunks dropped for a wrong checksum or frame
	Stale                    uint64 // messages dropped for an older attempt
	Forged                   uint64 // messages dropped that the attempt's key did not open
}

// Traffic is what a node's ranks have sent, in bytes of activations and by which way, counting what
// was sent again. What stays in the process does not count.
type Traffic struct {
	NATS   uint64 `json:"nats_bytes"`
	Direct uint64 `json:"direct_bytes"`
	// Resent counts chunks that were sent again; Connections are the direct ones of the process that
	// are open, and Reconnects those that were opened again.
	Resent      uint64 `json:"resent"`
	Connections int    `json:"direct_connections"`
	Reconnects  uint64 `json:"direct_reconnects"`
	// Forged counts frames that were dropped since the key of their attempt did not open them.
	Forged uint64 `json:"forged,omitempty"`
}

// PeerError says that another rank left, failed or stayed silent.
type PeerError struct {
	// Rank is the one to blame, counted in the transport. It need not be the peer of the call that
	// failed: that one may have left because of a third rank.
	Rank int
	Err  error
}

// Error names the rank and the reason.
func (e *PeerError) Error() string { return fmt.Sprintf("rank %d: %v", e.Rank, e.Err) }

// Unwrap returns the reason.
func (e *PeerError) Unwrap() error { return e.Err }
