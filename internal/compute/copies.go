package compute

import (
	"encoding/binary"
	"fmt"

	"github.com/longtake/longtake/internal/tensor"
)

// Copier is offered by devices that copy to and from the host while they compute.
type Copier interface {
	// BeginCopies opens a set of copies that run concurrently with the operations issued from here
	// on.
	BeginCopies() Copies
}

// Copies is a set of transfers that run while the device computes. The goroutine that uses the
// device opens and ends the set and issues the operations that overlap it.
type Copies interface {
	// Download begins to copy src, as the operations issued so far leave it, to dst: dense,
	// row-major, in type t, little-endian. The returned function waits until dst is filled; it is
	// called exactly once, from any goroutine. No operation may write src before it has returned.
	Download(dst []byte, src Mat, t DType) (wait func() error)
	// Upload copies src, which has the format that Download writes, to dst. The caller may change src
	// afterwards. No operation issued between BeginCopies and End may touch dst.
	Upload(dst Mat, src []byte, t DType) error
	// End makes operations issued from here on wait for the uploads.
	End()
}

// PeerCopies is offered by Copies of devices that pass matrices to other devices of their process
// without a detour through the host.
type PeerCopies interface {
	Copies
	// Give packs src, in type t, for one other device of the process, which passes the ticket to
	// Take. A ticket is good for one Take, and expires when the giver opens its second set of Copies
	// after this one: by then the taker has failed.
	Give(src Mat, t DType) (Ticket, error)
	// Take is Upload of the matrix that a ticket stands for. It fails when the ticket was used, has
	// expired, or stands for a matrix of another size.
	Take(dst Mat, ticket Ticket, t DType) error
}

// Ticket numbers a matrix that one device of a process gives to another. Ranks send it in place of
// the matrix's bytes.
type Ticket uint64

// TicketBytes is the size of an encoded Ticket.
const TicketBytes = 8

// Bytes encodes the ticket for a transport that carries bytes.
func (t Ticket) Bytes() []byte { return binary.LittleEndian.AppendUint64(nil, uint64(t)) }

// ParseTicket decodes what Ticket.Bytes returned. Any other size than TicketBytes is an error.
func ParseTicket(b []byte) (Ticket, error) {
	if len(b) != TicketBytes {
		return 0, fmt.Errorf("sent %d bytes, a ticket of %d bytes expected", len(b), TicketBytes)
	}
	return Ticket(binary.LittleEndian.Uint64(b)), nil
}

// BeginCopies opens copies that overlap dev's operations, or, on a device that is no Copier, copies
// that run in line with them: correct, but nothing is hidden.
func BeginCopies(dev Device) Copies {
	if c, ok := dev.(Copier); ok {
		return c.BeginCopies()
	}
	return inlineCopies{dev}
}

// inlineCopies copies at once, in the order of the calls, through the device's own methods.
type inlineCopies struct{ dev Device }

// Download implements Copies.
func (c inlineCopies) Download(dst []byte, src Mat, t DType) func() error {
	var err error
	if t == BF16 {
		err = c.dev.DownloadBF16(dst, src)
	} else {
		err = c.dev.Download(tensor.Floats(dst), src)
	}
	return func() error { return err }
}

// Upload implements Copies.
func (c inlineCopies) Upload(dst Mat, src []byte, t DType) error {
	if t == BF16 {
		c.dev.UploadBF16(dst, src)
	} else {
		c.dev.Upload(dst, tensor.Floats(src))
	}
	return nil
}

// End implements Copies.
func (c inlineCopies) End() {}
