package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// encodeQueue hands frames to an encoder that runs while the next ones are decoded. add and stop
// belong to one goroutine, the encoder to another.
type encodeQueue struct {
	groups chan []media.Frame
	done   chan struct{} // closed when the encoder is through, or has failed
	err    error         // of the encoder; to be read once done is closed
	once   sync.Once
}

// startEncoding starts the encoder's goroutine, which stop ends. One group of frames may wait while
// another is encoded. When ctx ends, the frames that wait are left out.
func startEncoding(ctx context.Context, enc media.Encoder) *encodeQueue {
	// Only the goroutine writes err, before it closes done.
	q := &encodeQueue{groups: make(chan []media.Frame, 1), done: make(chan struct{})}

	go func() {
		defer close(q.done)
		for group := range q.groups {
			for _, f := range group {
				if q.err = context.Cause(ctx); q.err == nil {
					q.err = enc.Add(f)
				}
				if q.err != nil {
					return
				}
			}
		}
	}()
	return q
}

// add waits until there is room for the group, and returns the encoder's error where it has failed.
func (q *encodeQueue) add(group []media.Frame) error {
	select {
	case q.groups <- group:
		return nil
	case <-q.done:
		return q.err
	}
}

// stop waits until the frames that were added are encoded. It may be called again.
func (q *encodeQueue) stop() error {
	q.once.Do(func() { close(q.groups) })
	<-q.done
	return q.err
}

// timeEncoding runs a part of decoding that waits for the encoder: its time counts as encoding.
func (r *run) timeEncoding(f func() error) error {
	start := time.Now()
	err := f()
	took := time.Since(start).Seconds()
	r.stageSeconds[job.StageEncode] += took
	r.stageSeconds[job.StageDecode] -= took
	if err != nil {
		return fmt.Errorf("cannot encode frames: %w", err)
	}
	return nil
}
