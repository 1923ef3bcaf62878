package compute

import "fmt"

// Unit is what a Meter rounds allocations up to, in bytes.
const Unit = 256

// Meter is a Device that only counts: Alloc and Free work, though there is nothing behind the
// memory, and everything else panics. What allocates on it tells what it needs before a device is
// asked for it.
type Meter struct {
	Device // nil
	now    int64
	most   int64
}

// metered is memory of a Meter.
type metered int

// Len returns the number of float32 elements.
func (m metered) Len() int { return int(m) }

func (m metered) bytes() int64 { return (4*int64(m) + Unit - 1) / Unit * Unit }

// Alloc counts n float32 elements.
func (m *Meter) Alloc(n int) (Memory, error) {
	if n < 0 {
		return nil, fmt.Errorf("cannot allocate %d elements", n)
	}
	m.now += metered(n).bytes()
	m.most = max(m.most, m.now)
	return metered(n), nil
}

// Free counts them no more.
func (m *Meter) Free(mem Memory) { m.now -= mem.(metered).bytes() }

// Most returns the most bytes that were allocated at a time.
func (m *Meter) Most() int64 { return m.most }
