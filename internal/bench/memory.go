package bench

import (
	"runtime"
	"time"
)

// MemoryMeter is a device that says what was taken of it.
type MemoryMeter interface {
	// MemoryPeak returns the most bytes that were in use at once since the last call.
	MemoryPeak() int64
}

// memory returns what tells the most bytes that were in use since it was last called, beyond those
// that were in use when memory was called; 0 on devices that do not say.
func (g GPU) memory() func() int64 {
	m, ok := g.Device.(MemoryMeter)
	if !ok {
		return func() int64 { return 0 }
	}

	settle() // weights of earlier items, which the collector frees
	m.MemoryPeak()
	base := m.MemoryPeak() // nothing was taken in between: what is in use
	return func() int64 { return m.MemoryPeak() - base }
}

// settle runs the garbage collector and the cleanups of what it finds, on which packed weights
// rely.
func settle() {
	for range 2 { // a weight may be held by what is found first
		done := make(chan struct{})
		runtime.AddCleanup(&struct{ at [16]byte }{}, func(done chan struct{}) { close(done) }, done)
		runtime.GC()
		select {
		case <-done:
		case <-time.After(time.Second): // it is found the next time
		}
	}
}
