package engine

import (
	"context"
	"sync"

	"github.com/longtake/longtake/internal/media"
)

// encodeQueue hands frames to an encoder that runs beside the decoding.
type encodeQueue struct {
	groups chan []media.Frame
	done   chan struct{} // closed when the encoder is through, or failed
	err    error         // of the encoder, once done is closed
	once   sync.Once
}

// encodeBeside starts the goroutine; stop ends it. One group of frames may wait while another is
// encoded. When ctx ends, what waits is left out.
func encodeBeside(ctx context.Context, enc media.Encoder) *encodeQueue {
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

// add waits until there is room for the group, and returns the encoder's error where it failed.
func (q *encodeQueue) add(group []media.Frame) error {
	select {
	case q.groups <- group:
		return nil
	case <-q.done:
		return q.err
	}
}

// stop waits until the frames that were added are encoded.
func (q *encodeQueue) stop() error {
	q.once.Do(func() { close(q.groups) })
	<-q.done
	return q.err
}
