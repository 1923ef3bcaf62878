package wan

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
)

// exchange is a series of all-to-alls that are under way while the device computes. Activations
// travel in the type that products multiply: what travels as bfloat16 would be rounded to bfloat16
// before the next product anyway, so the result's bits do not depend on it.
//
// start and finish are called by the goroutine of Forward; each all-to-all then runs in one of its
// own. The first error of any of them stops all, and finish returns it.
type exchange struct {
	s      *Sequence               // whose activations travel
	ctx    context.Context         // ended by stop, or by the caller
	stop   context.CancelCauseFunc // with the first error
	copies compute.Copies          // transfers that run while the device computes
	wg     sync.WaitGroup          // the goroutines of start
	parts  []*message              // in the order of their start
}

// message is one all-to-all: to every rank, and from every rank.
type message struct {
	recv  [][]byte                   // by rank; set before here is closed
	sent  time.Time                  // when the device had all that it sends; set as recv
	here  chan struct{}              // closed once recv is set, or the exchange has failed
	place func(rank int) compute.Mat // where the values of a rank belong
}

// newExchange begins an exchange. Until its finish, nothing may be computed into the matrices that
// hold what the other ranks send.
func (s *Sequence) newExchange(ctx context.Context) *exchange {
	x := &exchange{s: s, copies: compute.BeginCopies(s.t.dev)}
	x.ctx, x.stop = context.WithCancelCause(ctx)
	return x
}

// start sends matrix from(r) to every rank r and, at finish, puts what rank r sent into place(r).
// The own part is copied at once. The matrices sent must not change until finish; an empty one is
// sent as no bytes.
func (x *exchange) start(tag collective.Tag, from, place func(rank int) compute.Mat) {
	g, dev := x.s.group, x.s.t.dev
	send, fetch := make([][]byte, g.Size()), make([]func() error, 0, g.Size())
	for r := range send {
		m := from(r)
		if r == g.Rank() {
			if m.Cols > 0 {
				dev.Copy(place(r), m)
			}
			continue
		}

		// A device of the same process takes the matrix itself, by a ticket in place of bytes.
		if peers := x.peerCopies(r, m); peers != nil {
			ticket, err := peers.Give(m, x.s.t.dtype)
			send[r] = ticket.Bytes()
			fetch = append(fetch, func() error { return err })
			continue
		}
		send[r] = collective.Dirty(x.s.bytes(m))
		fetch = append(fetch, x.copies.Download(send[r], m, x.s.t.dtype))
	}

	p := &message{place: place, here: make(chan struct{})}
	x.parts = append(x.parts, p)

	// Downloads end, and then the peers' messages arrive, while the device goes on computing.
	x.wg.Go(func() {
		defer close(p.here)
		for _, f := range fetch {
			if err := f(); err != nil {
				x.stop(err)
			}
		}
		if p.sent = time.Now(); x.ctx.Err() != nil {
			return
		}
		var err error
		if p.recv, err = g.AllToAll(x.ctx, tag, send); err != nil {
			x.stop(err)
		}
	})
}

// peerCopies returns how the device exchanges m with the device of rank r without the host, nil
// where m travels as bytes. Both ranks come to the same answer: whether they share a process is
// known to both, devices of a process are of one kind, and m has the same size on both sides.
func (x *exchange) peerCopies(r int, m compute.Mat) compute.PeerCopies {
	peers, ok := x.copies.(compute.PeerCopies)
	if !ok || m.Cols == 0 || !x.s.group.SameProcess(r) {
		return nil
	}
	return peers
}

// finish waits for every message, in the order of start, and uploads each as soon as it arrives. A
// message of another size than expected is a *collective.PeerError that names its sender. After
// finish no goroutine of the exchange is left.
func (x *exchange) finish() error {
	for _, p := range x.parts {
		x.s.waited += p.wait()
		for r, b := range p.recv {
			if r == x.s.group.Rank() || x.ctx.Err() != nil {
				continue
			}
			if err := x.unpack(r, p.place(r), b); err != nil {
				x.stop(&collective.PeerError{Rank: x.s.group.Member(r), Err: err})
			}
		}
	}

	// All goroutines end before the memory that they read may change.
	x.wg.Wait()
	x.copies.End()
	err := context.Cause(x.ctx)
	x.stop(nil)
	return err
}

// A message that is there already was not waited for, which is what most are where ranks are alike
// and the line is fast, and then no clock is read.

// wait waits for the message, and returns how long it did since the device had computed what this
// rank sends.
func (p *message) wait() time.Duration {
	select {
	case <-p.here:
		return 0
	default:
	}

	start := time.Now()
	<-p.here
	if p.sent.After(start) {
		start = p.sent
	}
	return time.Since(start)
}

// unpack puts what rank r sent, the bytes of a matrix or the ticket for it, into m.
func (x *exchange) unpack(r int, m compute.Mat, b []byte) error {
	if peers := x.peerCopies(r, m); peers != nil {
		ticket, err := compute.ParseTicket(b)
		if err != nil {
			return err
		}
		return peers.Take(m, ticket, x.s.t.dtype)
	}
	if size := x.s.bytes(m); len(b) != size {
		return fmt.Errorf("sent %d bytes, %d expected", len(b), size)
	}
	if len(b) == 0 {
		return nil
	}

	if err := x.copies.Upload(m, b, x.s.t.dtype); err != nil {
		return err
	}
	collective.Release(b) // no copy reads it after Upload
	return nil
}

// bytes returns the size of a matrix on its way.
func (s *Sequence) bytes(m compute.Mat) int {
	if s.t.dtype == compute.BF16 {
		return 2 * m.Rows * m.Cols
	}
	return 4 * m.Rows * m.Cols
}
