package coord

import (
	"context"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
)

// eventsMax is how many events may wait for the loop: the heartbeats of a thousand nodes over some
// seconds. Another one waits until there is room.
const eventsMax = 8192

// loop is the one goroutine that touches the core, and what others hand to it. Two kinds of things
// are handed over, both as functions that the loop calls one after the other:
//
// An event may decide, that is commit entries and order nodes about: messages of nodes,
// acknowledged orders, ticks, changes of leadership, what clients change. Events are handled in the
// order in which they came, so a tick comes after the heartbeats that were there before it.
//
// A read never commits. Reads are also served while an event waits for its commit: the entries that
// Raft has committed (without which the wait would not end), its snapshots, and what clients and
// metrics look at, who therefore do not wait for a slow disk.
type loop struct {
	core   *core.Core
	events chan func()
	reads  chan func()
	done   chan struct{} // closed when the loop has ended: nothing is called any more
	// decided hears how long each look at the queue took.
	decided func(time.Duration)
}

func newLoop() *loop {
	return &loop{events: make(chan func(), eventsMax), reads: make(chan func()),
		done: make(chan struct{}), decided: func(time.Duration) {}}
}

// run calls events and reads until ctx ends; the caller closes done. Whenever something has
// happened that calls for it, the core looks at its queue, for which it takes a fifth of the time
// at most: with thousands of jobs and nodes a look takes milliseconds, and creations would wait for
// one each.
func (l *loop) run(ctx context.Context) {
	const share = 5
	var next time.Time       // when the queue may be looked at again
	var due <-chan time.Time // fires then; nil: nothing is put off
	for {
		if l.core.Unsettled() {
			now := time.Now()
			if wait := next.Sub(now); wait <= 0 {
				l.core.Settle()
				took := time.Since(now)
				l.decided(took)
				next, due = now.Add(share*took), nil
			} else if due == nil {
				due = time.After(wait)
			}
		}

		select {
		case <-ctx.Done():
			return
		case f := <-l.reads:
			f()
		case f := <-l.events:
			f()
		case <-due:
			due = nil
		}
	}
}

// await serves reads until done has a value. The loop's goroutine calls it in the midst of an
// event.
func await[T any](l *loop, done <-chan T) T {
	for {
		select {
		case v := <-done:
			return v
		case f := <-l.reads:
			f()
		}
	}
}

// post hands an event over and tells whether it could; it cannot once the loop has ended.
func (l *loop) post(event func()) bool {
	select {
	case l.events <- event:
		return true
	case <-l.done:
		return false
	}
}

// read has f called among the reads and waits until it was. It returns false if the loop has ended.
func (l *loop) read(f func()) bool {
	called := make(chan struct{})
	select {
	case l.reads <- func() { defer close(called); f() }:
		<-called
		return true
	case <-l.done:
		return false
	}
}

// answer is what a call gave.
type answer[T any] struct {
	value T
	err   error
}

// call has f called as an event and waits until it has called reply, until ctx ends or the loop
// does. Without an answer the error is the context's or errClosed; f may be called all the same.
func call[T any](ctx context.Context, l *loop, f func(reply func(T, error))) (v T, err error) {
	got := make(chan answer[T], 1)
	event := func() { f(func(v T, err error) { got <- answer[T]{v, err} }) }
	select {
	case l.events <- event:
	case <-ctx.Done():
		return v, ctx.Err()
	case <-l.done:
		return v, errClosed
	}

	select {
	case a := <-got:
		return a.value, a.err
	case <-ctx.Done():
		return v, ctx.Err()
	case <-l.done:
	}
	select {
	case a := <-got: // it came before the end
		return a.value, a.err
	default:
		return v, errClosed
	}
}
