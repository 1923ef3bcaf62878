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

// uploadsWaiting is how many parts of a clip may wait to be stored.
const uploadsWaiting = 4

// partUploader stores a WebM as parts while it is written, so that people can watch its first
// seconds before the last ones are made, and a later attempt continues after them. Where the store
// cannot follow, it gives up rather than hold up the decoder.
//
// The encoder's goroutine calls take; one in the background stores.
type partUploader struct {
	r          *run
	perPart    int    // seconds in a part; each is a WebM cluster
	seconds    int    // in buf
	buf        []byte // of the part that is being written
	next       int    // its number
	queue      chan videoPart
	hasGivenUp atomic.Bool
}

// videoPart is a part of the clip, under its name among the job's parts.
type videoPart struct {
	name string
	data []byte
}

// tapParts returns a writer to f whose seconds become parts of the job as they come, numbered from
// next on; f itself where parts are not kept, or the format cannot be continued.
func (r *run) tapParts(f *os.File, next int) io.Writer {
	if !r.keepsParts() || !media.Format(r.Plan.Spec.Format).Continues() {
		return f
	}
	u := &partUploader{r: r, perPart: r.Plan.Spec.PartSeconds(), next: next,
		queue: make(chan videoPart, uploadsWaiting)}
	r.background.Go(u.run)
	return media.Tap(f, u.take)
}

// take gets the file's header, then its clusters; the header goes with the first part.
func (u *partUploader) take(b []byte, cluster bool) {
	if u.hasGivenUp.Load() {
		return
	}
	u.buf = append(u.buf, b...)
	if !cluster {
		return
	}
	if u.seconds++; u.seconds < u.perPart {
		return
	}

	// The queue is full where the store is slower than the decoder for a while.
	p := videoPart{job.VideoPart(u.next), u.buf}
	u.seconds, u.buf, u.next = 0, nil, u.next+1
	select {
	case u.queue <- p:
	default:
		u.giveUp(fmt.Errorf("%d parts wait for the object store", uploadsWaiting))
	}
}

// run stores and records parts in their order, until the rank ends or one cannot be stored.
func (u *partUploader) run() {
	for {
		select {
		case <-u.r.closing:
			return
		case p := <-u.queue:
			if err := u.upload(u.r.backgroundCtx, p); err != nil {
				u.giveUp(err)
				return
			}
		}
	}
}

// upload tries until a part is stored and recorded, the host refuses it, or ctx ends.
func (u *partUploader) upload(ctx context.Context, p videoPart) error {
	for {
		o, err := u.r.storePart(ctx, bytes.NewReader(p.data))
		if err == nil {
			err = u.r.recordPart(ctx, p.name, o)
		}
		if err == nil || errors.Is(err, ErrRefused) || ctx.Err() != nil {
			return err
		}
	}
}

// giveUp stores no more parts of this attempt: those after a gap could not be played.
func (u *partUploader) giveUp(err error) {
	if !u.hasGivenUp.Swap(true) && u.r.backgroundCtx.Err() == nil {
		u.r.host.Warn("the clip's seconds are no longer shared", err)
	}
}
