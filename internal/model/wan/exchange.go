package wan

import (
	"context"
	"fmt"
	"sync"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
)

// exchange is a number of all-to-alls that are under way while the device computes. Activations
// travel in the type of products: what is rounded to bfloat16 on its way would be rounded to it
// before the next product anyway, so bits do not depend on what travels.
type exchange struct {
	s     *Sequence
	ctx   context.Context
	stop  context.CancelCauseFunc
	wg    sync.WaitGroup
	parts []*message
}

// message is one all-to-all.
type message struct {
	recv  [][]byte
	place func(rank int) compute.Mat
}

func (s *Sequence) newExchange(ctx context.Context) *exchange {
	x := &exchange{s: s}
	x.ctx, x.stop = context.WithCancelCause(ctx)
	return x
}

// start sends from(r) to every rank r, and will put what rank r sent to where place says. The own
// part is copied at once.
func (x *exchange) start(tag collective.Tag, from, place func(rank int) compute.Mat) {
	g, dev := x.s.group, x.s.t.dev
	send := make([][]byte, g.Size())
	for r := range send {
		m := from(r)
		if r == g.Rank() {
			if m.Cols > 0 {
				dev.Copy(place(r), m)
			}
			continue
		}
		var err error
		if send[r], err = x.s.pack(m); err != nil {
			x.stop(err)
			return
		}
	}
	p := &message{place: place}
	x.parts = append(x.parts, p)
	x.wg.Go(func() {
		var err error
		if p.recv, err = g.AllToAll(x.ctx, tag, send); err != nil {
			x.stop(err)
		}
	})
}

// finish waits for every message and puts it in its place. A message of another size than expected
// is the peer's error.
func (x *exchange) finish() error {
	x.wg.Wait()
	err := context.Cause(x.ctx)
	x.stop(nil)
	if err != nil {
		return err
	}
	for _, p := range x.parts {
		for r, b := range p.recv {
			if r == x.s.group.Rank() {
				continue
			}
			if err := x.s.unpack(p.place(r), b); err != nil {
				return &collective.PeerError{Rank: x.s.group.Member(r), Err: err}
			}
		}
	}
	return nil
}

// pack downloads a matrix in the type that travels.
func (s *Sequence) pack(m compute.Mat) ([]byte, error) {
	n := m.Rows * m.Cols
	if s.t.dtype == compute.BF16 {
		b := collective.NewBuffer(2 * n)
		return b, s.t.dev.DownloadBF16(b, m)
	}
	b := collective.NewBuffer(4 * n)
	return b, s.t.dev.Download(tensor.Floats(b), m)
}

// unpack uploads a matrix in the type that travels.
func (s *Sequence) unpack(m compute.Mat, b []byte) error {
	size := 4 * m.Rows * m.Cols
	if s.t.dtype == compute.BF16 {
		size /= 2
	}
	if len(b) != size {
		return fmt.Errorf("sent %d bytes, %d expected", len(b), size)
	}
	if s.t.dtype == compute.BF16 {
		s.t.dev.UploadBF16(m, b)
	} else {
		s.t.dev.Upload(m, tensor.Floats(b))
	}
	return nil
}
