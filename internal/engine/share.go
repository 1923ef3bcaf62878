package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// shareAhead is how many parts of a clip may wait to be stored.
const shareAhead = 4

// sharing stores a WebM as parts while it is written, so that its first seconds can be seen before
// its last ones are there, and a later attempt goes on behind them. It is beside the work: where
// the store cannot follow it gives up.
type sharing struct {
	r     *run
	per   int    // seconds, each a cluster, in a part
	have  int    // of them in buf
	buf   []byte // the open part
	next  int    // number of the next part
	queue chan piece
	over  atomic.Bool
}

// piece is a part of the clip.
type piece struct {
	name string
	data []byte
}

// tap returns a writer to f whose seconds become parts of the job as they come, from next on.
func (r *run) tap(f *os.File, next int) io.Writer {
	if !r.keeps() || !media.Format(r.Plan.Spec.Format).Continues() {
		return f
	}
	s := &sharing{r: r, per: r.Plan.Spec.PartSeconds(), next: next,
		queue: make(chan piece, shareAhead)}
	r.beside.Go(s.store)
	return media.Tap(f, s.take)
}

// take gets the header, then the clusters; the header goes with the first part.
func (s *sharing) take(b []byte, cluster bool) {
	if s.over.Load() {
		return
	}
	s.buf = append(s.buf, b...)
	if !cluster {
		return
	}
	if s.have++; s.have < s.per {
		return
	}
	p := piece{job.VideoPart(s.next), s.buf}
	s.have, s.buf, s.next = 0, nil, s.next+1
	select {
	case s.queue <- p:
	default:
		s.end(fmt.Errorf("%d parts wait for the object store", shareAhead))
	}
}

// store stores and records parts in their order.
func (s *sharing) store() {
	for {
		select {
		case <-s.r.closing:
			return
		case p := <-s.queue:
			if err := s.storePiece(s.r.besideCtx, p); err != nil {
				s.end(err)
				return
			}
		}
	}
}

// storePiece tries until a part is stored and recorded, it is refused, or the attempt ends.
func (s *sharing) storePiece(ctx context.Context, p piece) error {
	for {
		o, err := s.r.putBeside(ctx, bytes.NewReader(p.data))
		if err == nil {
			err = s.r.keep(ctx, p.name, o)
		}
		if err == nil || errors.Is(err, ErrRefused) || ctx.Err() != nil {
			return err
		}
	}
}

// end shares no more of this attempt: what follows a gap could not be shown.
func (s *sharing) end(err error) {
	if !s.over.Swap(true) && s.r.besideCtx.Err() == nil {
		s.r.host.Warn("the clip's seconds are no longer shared", err)
	}
}
