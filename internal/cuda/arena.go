//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
)

const (
	alignment   = compute.AllocUnit // bytes; of every piece, as cuMemAlloc's
	slabDefault = 64 << 20
)

// memory is a piece of a slab; it implements compute.Memory.
type memory struct {
	n     int             // elements
	at    cu.DevicePtr    // where it begins
	bytes int64           // rounded up to alignment
	slab  *slab           // nil for a piece of 0 bytes
	freed bool            // to tell a use after Free from a wild one
	owner runtime.Cleanup // gives it back, where a weight owns it

	operand operand // what it holds, where that is an operand
}

// Len returns the number of elements.
func (m *memory) Len() int { return m.n }

// slab is memory of the driver, handed out in pieces. It goes back to the driver in reserve, where
// nobody uses it, and at Close.
type slab struct {
	base  cu.DevicePtr
	bytes int64
	free  []span // by offset, none touching another
}

// span is a run of bytes of a slab.
type span struct{ off, bytes int64 }

// arena hands out memory of slabs, first fit. All operations run on one stream, so a piece may be
// handed out again while its last user still waits on the GPU: the next one comes after it.
type arena struct {
	slabBytes int64 // of a new slab, at least
	exact     bool  // every piece is a slab of its own, see Options
	slabs     []*slab
	usage     usage

	// pending has a mutex because the collector's goroutine fills it.
	mu      sync.Mutex
	pending []*memory // what freeLater was given
}

// init sets the sizes that the options ask for; the arena begins without a slab.
func (a *arena) init(o Options) {
	a.slabBytes, a.exact = o.SlabBytes, o.Exact
	if a.slabBytes <= 0 {
		a.slabBytes = slabDefault
	}
}

// take returns a piece with whatever is in it; 0 bytes take nothing. An error is ErrMemory where
// the driver has no more.
func (a *arena) take(bytes int64) (*memory, error) {
	if err := a.freePending(); err != nil {
		return nil, err
	}
	if bytes == 0 {
		return &memory{}, nil
	}
	if a.exact {
		p, err := alloc(bytes)
		if err != nil {
			return nil, err
		}
		s := &slab{base: p, bytes: bytes}
		a.slabs = append(a.slabs, s)
		return a.usage.took(&memory{at: p, bytes: bytes, slab: s}), nil
	}

	need := (bytes + alignment - 1) / alignment * alignment
	for _, s := range a.slabs {
		if m := s.take(need); m != nil {
			return a.usage.took(m), nil
		}
	}
	s, err := a.grow(max(a.slabBytes, need))
	if err != nil {
		return nil, err
	}
	return a.usage.took(s.take(need)), nil
}

// alloc takes memory of the driver; compute.ErrMemory says that it has no more.
func alloc(bytes int64) (cu.DevicePtr, error) {
	p, err := cu.MemAlloc(bytes)
	if !errors.Is(err, cu.OutOfMemory) {
		return p, err
	}
	left, all, _ := cu.MemInfo()
	return p, fmt.Errorf("%w: %d bytes in one piece are needed, %d of the GPU's %d are free",
		compute.ErrMemory, bytes, left, all)
}

// take returns the first piece of the slab that is large enough, nil where none is.
func (s *slab) take(need int64) *memory {
	i := slices.IndexFunc(s.free, func(f span) bool { return f.bytes >= need })
	if i < 0 {
		return nil
	}
	f := &s.free[i]
	m := &memory{at: s.base + cu.DevicePtr(f.off), bytes: need, slab: s}
	f.off, f.bytes = f.off+need, f.bytes-need
	if f.bytes == 0 {
		s.free = slices.Delete(s.free, i, i+1)
	}
	return m
}

// give takes a piece back; with exact allocations the driver gets it.
func (a *arena) give(m *memory) error {
	s := m.slab
	m.n, m.freed = 0, true
	if s == nil {
		return nil
	}
	a.usage.gave(m)
	if a.exact {
		a.slabs = slices.DeleteFunc(a.slabs, func(o *slab) bool { return o == s })
		return cu.MemFree(m.at)
	}
	s.give(span{int64(m.at - s.base), m.bytes})
	return nil
}

// give puts a span back and joins it with its neighbours, so that no two free spans touch.
func (s *slab) give(f span) {
	i, _ := slices.BinarySearchFunc(s.free, f.off, func(e span, off int64) int {
		return int(e.off - off)
	})
	s.free = slices.Insert(s.free, i, f)
	if i+1 < len(s.free) && f.off+f.bytes == s.free[i+1].off {
		s.free[i].bytes += s.free[i+1].bytes
		s.free = slices.Delete(s.free, i+1, i+2)
	}
	// f may have grown to the right above; now to the left.
	if i > 0 && s.free[i-1].off+s.free[i-1].bytes == f.off {
		s.free[i-1].bytes += s.free[i].bytes
		s.free = slices.Delete(s.free, i, i+1)
	}
}

// freeLater is give for any goroutine; the next take carries it out. The collector calls it for
// weights that nobody refers to any more, and the takers of transfers call it for their givers.
func (a *arena) freeLater(m *memory) {
	a.mu.Lock()
	a.pending = append(a.pending, m)
	a.mu.Unlock()
}

// freePending gives back what freeLater was given.
func (a *arena) freePending() error {
	a.mu.Lock()
	pending := a.pending
	a.pending = nil
	a.mu.Unlock()
	for _, m := range pending {
		if err := a.give(m); err != nil {
			return err
		}
	}
	return nil
}

// reserve makes sure that some slab has so many bytes in one run. Where none has, slabs that nobody
// uses go back to the driver before it is asked for a new one.
func (a *arena) reserve(bytes int64) error {
	if err := a.freePending(); err != nil || a.exact || bytes <= 0 {
		return err
	}
	for _, s := range a.slabs {
		if slices.ContainsFunc(s.free, func(f span) bool { return f.bytes >= bytes }) {
			return nil
		}
	}

	var errs []error
	a.slabs = slices.DeleteFunc(a.slabs, func(s *slab) bool {
		whole := len(s.free) == 1 && s.free[0] == (span{0, s.bytes})
		if whole {
			errs = append(errs, cu.MemFree(s.base))
		}
		return whole
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err := a.grow(bytes)
	return err
}

// grow takes a slab of the driver.
func (a *arena) grow(bytes int64) (*slab, error) {
	p, err := alloc(bytes)
	if err != nil {
		return nil, err
	}
	s := &slab{base: p, bytes: bytes, free: []span{{0, bytes}}}
	a.slabs = append(a.slabs, s)
	return s, nil
}

// close gives every slab to the driver.
func (a *arena) close() error {
	var first error
	for _, s := range a.slabs {
		if err := cu.MemFree(s.base); err != nil && first == nil {
			first = err
		}
	}
	a.slabs = nil
	return first
}
