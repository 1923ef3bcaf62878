package collective

import (
	"sync"
	"time"
	"unsafe"
)

// Release gives back a buffer that Recv or Dirty returned and that its owner has done with, so that
// a later message of the same size finds memory which the process has and the CPU's cache may still
// hold. Nobody has to: what is not given back is the garbage collector's. Who does must own all of
// it and not touch it afterwards, and what was given back already panics as far as that is noticed.
func Release(b []byte) {
	if len(b) < dirtyLeast || uintptr(unsafe.Pointer(&b[0]))%Alignment != 0 {
		return
	}
	released.put(b[:len(b):len(b)]) // what lies behind it may be another's
}

const (
	// The pool holds no more than this. It is a few exchanges of a large model.
	poolBytes   = 256 << 20
	poolBuffers = 256 // bounds the search
	// A pool that is not given anything for so long is emptied: the job has ended.
	poolIdle = 10 * time.Second
)

// released is the pool of the process.
var released = &pool{limit: poolBytes, idle: poolIdle}

// pool holds buffers that were given back. Activations have few sizes, which come again with every
// block of every step, so a buffer serves its own size alone.
type pool struct {
	limit int // bytes
	idle  time.Duration

	mu    sync.Mutex
	free  [][]byte // the newest last
	bytes int
	empty *time.Timer
}

// put takes a buffer in. The oldest ones make room for it.
func (p *pool) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.free {
		if unsafe.SliceData(f) == unsafe.SliceData(b) {
			panic("collective: a buffer was released twice")
		}
	}
	p.free = append(p.free, b)
	p.bytes += len(b)
	for p.bytes > p.limit || len(p.free) > poolBuffers {
		p.remove(0)
	}

	if p.empty == nil {
		p.empty = time.AfterFunc(p.idle, p.clear)
	} else {
		p.empty.Reset(p.idle)
	}
}

// take returns the buffer of n bytes that was given back last, nil without any.
func (p *pool) take(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.free) - 1; i >= 0; i-- {
		if b := p.free[i]; len(b) == n {
			p.remove(i)
			return b
		}
	}
	return nil
}

// remove takes buffer i out. The caller holds mu.
func (p *pool) remove(i int) {
	p.bytes -= len(p.free[i])
	last := len(p.free) - 1
	copy(p.free[i:], p.free[i+1:])
	p.free[last] = nil
	p.free = p.free[:last]
}

// clear empties the pool.
func (p *pool) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free, p.bytes = nil, 0
}
