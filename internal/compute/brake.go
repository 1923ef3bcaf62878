package compute

import (
	"context"
	"sync/atomic"
)

// Stoppable is offered by devices whose operations can end before they are done.
type Stoppable interface {
	// StopWith has the operations that are at work when ctx ends, and those issued after it, end soon
	// and without results: Download and Sync return the cause of ctx's end. Once the function that it
	// returns was called, by the goroutine that uses the device, operations compute again; what the
	// ones that were stopped should have written is undefined until then and after.
	StopWith(ctx context.Context) (release func())
}

// StopWith is dev's; on a device that has none every operation is finished.
func StopWith(ctx context.Context, dev Device) (release func()) {
	if s, ok := dev.(Stoppable); ok {
		return s.StopWith(ctx)
	}
	return func() {}
}

// Brake is how a Device implements Stoppable: its workers look at On before each task. The zero
// Brake is off. Methods may be called on any goroutine.
type Brake struct{ watch atomic.Pointer[watch] }

// watch is one call of StopWith. A context that ends late sets its own one, which nobody looks at
// any more.
type watch struct {
	ctx context.Context
	on  atomic.Bool
}

// StopWith implements Stoppable.
func (b *Brake) StopWith(ctx context.Context) (release func()) {
	w := &watch{ctx: ctx}
	w.on.Store(ctx.Err() != nil)
	forget := context.AfterFunc(ctx, func() { w.on.Store(true) })
	before := b.watch.Swap(w)
	return func() {
		forget()
		b.watch.Store(before)
	}
}

// On reports whether operations are to end.
func (b *Brake) On() bool {
	w := b.watch.Load()
	return w != nil && w.on.Load()
}

// Err returns why operations are to end, nil unless On. An operation that looked at On before is
// over when this is asked, so nil says that none was cut short.
func (b *Brake) Err() error {
	if w := b.watch.Load(); w != nil && w.on.Load() {
		return context.Cause(w.ctx)
	}
	return nil
}
