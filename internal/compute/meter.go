package compute

import "fmt"

// AllocUnit is the size in bytes that devices and Meter round allocations up to, as cuMemAlloc
// does.
const AllocUnit = 256

// Meter is a Device that only counts memory: Alloc and Free work, though nothing is behind the
// memory, and every other method panics. Code that allocates on a Meter first knows how much a
// device must have before it asks one.
type Meter struct {
	Device       // nil: other methods panic
	now    int64 // bytes that are allocated
	peak   int64 // the most that now has been
}

// meteredMemory is memory of a Meter, by its number of float32 elements.
type meteredMemory int

// Len returns the number of float32 elements.
func (m meteredMemory) Len() int { return int(m) }

func (m meteredMemory) bytes() int64 { return (4*int64(m) + AllocUnit - 1) / AllocUnit * AllocUnit }

// Alloc counts n float32 elements, rounded up to AllocUnit. It fails for a negative n only.
func (m *Meter) Alloc(n int) (Memory, error) {
	if n < 0 {
		return nil, fmt.Errorf("cannot allocate %d elements", n)
	}
	m.now += meteredMemory(n).bytes()
	m.peak = max(m.peak, m.now)
	return meteredMemory(n), nil
}

// Free stops counting memory that Alloc of the same Meter returned.
func (m *Meter) Free(mem Memory) { m.now -= mem.(meteredMemory).bytes() }

// Peak returns the most bytes that were allocated at the same time.
func (m *Meter) Peak() int64 { return m.peak }
