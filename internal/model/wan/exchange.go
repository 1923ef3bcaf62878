package wan

import (
	"context"
	"fmt"
	"sync"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
)

// exchange is a number of all-to-alls that are under way while the device computes. Activations
// travel in the type of products: what is rounded to bfloat16 on its way would be rounded to it
// before the next product anyway, so bits do not depend on what travels.
type exchange struct {
	s      *Sequence
	ctx    context.Context
	stop   context.CancelCauseFunc
	copies compute.Copies
	wg     sync.WaitGroup
	parts  []*message
}

// message is one all-to-all.
type message struct {
	recv  [][]byte
	here  chan struct{} // closed once recv is there, or the exchange has failed
	place func(rank int) compute.Mat
}

// newExchange begins an exchange. What is computed from here on must not touch the places of what
// the other ranks send.
func (s *Sequence) newExchange(ctx context.Context) *exchange {
	x := &exchange{s: s, copies: compute.Beside(s.t.dev)}
	x.ctx, x.stop = context.WithCancelCause(ctx)
	return x
}

// start sends from(r) to every rank r, and will put what rank r sent to where place says. The own
// part is copied at once. What it sends must stay as it is until finish.
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
		if give, ok := x.copies.(compute.Giver); ok && g.Near(r) && m.Cols > 0 {
			fetch = append(fetch, ticket(give, &send[r], m, x.s.t.dtype))
			continue
		}
		send[r] = collective.NewBuffer(x.s.bytes(m))
		fetch = append(fetch, x.copies.Download(send[r], m, x.s.t.dtype))
	}
	p := &message{place: place, here: make(chan struct{})}
	x.parts = append(x.parts, p)
	x.wg.Go(func() {
		defer close(p.here)
		for _, f := range fetch {
			if err := f(); err != nil {
				x.stop(err)
			}
		}
		if x.ctx.Err() != nil {
			return
		}
		var err error
		if p.recv, err = g.AllToAll(x.ctx, tag, send); err != nil {
			x.stop(err)
		}
	})
}

// ticket gives a matrix to a rank of this process, and the ticket for it in place of the bytes.
func ticket(g compute.Giver, to *[]byte, m compute.Mat, t compute.DType) func() error {
	var err error
	*to, err = g.Give(m, t)
	return func() error { return err }
}

// finish puts every message in its place, as soon as it is there. A message of another size than
// expected is the peer's error.
func (x *exchange) finish() error {
	for _, p := range x.parts {
		<-p.here
		for r, b := range p.recv {
			if r == x.s.group.Rank() || x.ctx.Err() != nil {
				continue
			}
			if err := x.unpack(p.place(r), b); err != nil {
				x.stop(&collective.PeerError{Rank: x.s.group.Member(r), Err: err})
			}
		}
	}
	x.wg.Wait()
	x.copies.End()
	err := context.Cause(x.ctx)
	x.stop(nil)
	return err
}

// unpack uploads what came for a matrix.
func (x *exchange) unpack(m compute.Mat, b []byte) error {
	if size := x.s.bytes(m); len(b) != size && !compute.IsTicket(b) {
		return fmt.Errorf("sent %d bytes, %d expected", len(b), size)
	}
	if len(b) == 0 {
		return nil
	}
	return x.copies.Upload(m, b, x.s.t.dtype)
}

// bytes returns the size of a matrix in the type that travels.
func (s *Sequence) bytes(m compute.Mat) int {
	if s.t.dtype == compute.BF16 {
		return 2 * m.Rows * m.Cols
	}
	return 4 * m.Rows * m.Cols
}
