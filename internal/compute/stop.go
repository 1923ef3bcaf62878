package compute

import (
	"context"
	"sync/atomic"
)

// Stoppable is offered by devices whose operations can end before they are done.
type Stoppable interface {
	// StopWith makes running and later operations end early, without results, once ctx ends:
	// Download and Sync then return the cause of ctx's end. The goroutine that uses the device calls
	// release when it is done with ctx; from then on operations compute again. What stopped
	// operations should have written stays undefined.
	StopWith(ctx context.Context) (release func())
}

// StopWith ties dev's operations to ctx; see Stoppable. A device that cannot be stopped finishes
// every operation, and release does nothing.
func StopWith(ctx context.Context, dev Device) (release func()) {
	if s, ok := dev.(Stoppable); ok {
		return s.StopWith(ctx)
	}
	return func() {}
}

// StopFlag is how a Device implements Stoppable: its workers ask Stopped before each task. The zero
// StopFlag never stops anything. Its methods may be called from any goroutine.
type StopFlag struct{ current atomic.Pointer[stopWatch] }

// stopWatch is one call of StopWith. Each has a flag of its own: a context that ends after its
// release sets a flag that nobody reads any more, and cannot stop the operations of the next call.
type stopWatch struct {
	ctx     context.Context
	stopped atomic.Bool
}

// StopWith implements Stoppable. Calls nest: release restores the context that was watched before.
func (f *StopFlag) StopWith(ctx context.Context) (release func()) {
	w := &stopWatch{ctx: ctx}
	// AfterFunc runs on a goroutine of its own; a context that has ended already must count at once.
	w.stopped.Store(ctx.Err() != nil)
	unwatch := context.AfterFunc(ctx, func() { w.stopped.Store(true) })
	previous := f.current.Swap(w)
	return func() {
		unwatch()
		f.current.Store(previous)
	}
}

// Stopped reports whether operations must end early. It costs two atomic loads.
func (f *StopFlag) Stopped() bool {
	w := f.current.Load()
	return w != nil && w.stopped.Load()
}

// Err returns the cause of the context's end, nil unless Stopped. An operation asks Stopped while
// it runs and the device calls Err after it, so nil means that no operation was cut short.
func (f *StopFlag) Err() error {
	if w := f.current.Load(); w != nil && w.stopped.Load() {
		return context.Cause(w.ctx)
	}
	return nil
}
