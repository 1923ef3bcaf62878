// Package pool keeps the packed weights of a process: each component of each model once, whichever
// ranks ask for it. Whoever needs a component acquires it; the first one loads it, and the others
// wait for that. What nobody holds any more stays as far as the limit allows, so that a model that
// is asked for again need not be loaded again. The least recently used weights go first.
//
// To have weights before they are needed, acquire and release them in another goroutine.
package pool

import (
	"context"
	"fmt"
	"sync"

	"github.com/longtake/longtake/internal/compute"
)

// Key says which weights, and how they are packed. Equal keys stand for equal bytes in memory.
type Key struct {
	Folder    string        // model.Folder.Identity
	Component string        // such as transformer; a part of one has a name of its own
	DType     compute.DType // of the products
	LoRA      string        // names a set of LoRAs with its scales; "": none
	Packing   string        // compute.PackingOf the device; "": nobody else can use the weights
}

// Pool has the weights of a process. The zero value keeps what somebody holds, and nothing else.
// Its methods may be called from any goroutine.
type Pool struct {
	limit int64 // bytes up to which weights that nobody holds stay

	mu      sync.Mutex
	entries map[Key]*entry
	bytes   int64  // of all entries
	clock   uint64 // counts releases
}

// entry is the weights of a key. The fields of the second group are written before loaded is
// closed, and only read afterwards.
type entry struct {
	bytes   int64  // that they take, about
	holders int    // those that wait for it, too
	used    uint64 // the clock when it was last released

	loaded chan struct{}
	value  any
	err    error // why there is no value
	gaveUp bool  // because the context of the one that loaded them has ended
}

// New returns a pool. It keeps weights that nobody holds as long as all weights together take at
// most limit bytes.
func New(limit int64) *Pool { return &Pool{limit: limit} }

// Bytes returns about how many bytes all weights in the pool take, those being loaded included.
func (p *Pool) Bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// Holds reports whether the weights of a key are in the pool, or being loaded into it.
func (p *Pool) Holds(key Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries[key] != nil
}

// Has reports whether the pool has the weights of a folder's component, in any type, without LoRAs.
// Those that are being loaded count once they are there.
func (p *Pool) Has(folder, component string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, e := range p.entries {
		if k.Folder != folder || k.Component != component || k.LoRA != "" {
			continue
		}
		select {
		case <-e.loaded:
			return true
		default:
		}
	}
	return false
}

// Idle returns about how many bytes those weights take that nobody holds.
func (p *Pool) Idle() (bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.entries {
		if e.holders == 0 {
			bytes += e.bytes
		}
	}
	return bytes
}

// Trim removes the weights that nobody holds.
func (p *Pool) Trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, e := range p.entries {
		if e.holders == 0 {
			p.remove(k, e)
		}
	}
}

// Acquire returns the weights of a key, which stay until release is called; calling it again does
// nothing. If they are not in the pool, the caller loads them, and bytes is about how much they
// will take: what nobody holds makes room for them first. If another caller is loading them,
// Acquire waits, and the error may be that caller's. If ctx ends first, the error is its cause.
//
// load runs in the caller's goroutine and within the call, so what it reads from may be gone
// afterwards. It should end soon when its context does.
func Acquire[T any](ctx context.Context, p *Pool, key Key, bytes int64,
	load func(context.Context) (T, error)) (weights T, release func(), err error) {
	if key.Packing == "" {
		weights, err = load(ctx)
		return weights, func() {}, err
	}

	for {
		e, first := p.enter(key, bytes)
		if first {
			p.load(ctx, key, e, func(ctx context.Context) (any, error) { return load(ctx) })
		}

		select {
		case <-e.loaded:
		case <-ctx.Done():
			p.leave(key, e)
			return weights, nil, context.Cause(ctx)
		}
		if e.err == nil {
			return e.value.(T), sync.OnceFunc(func() { p.leave(key, e) }), nil
		}

		// That another caller gave up is no reason for this one.
		if first || !e.gaveUp {
			return weights, nil, e.err
		}
	}
}

// enter returns the entry of a key with one more holder, and whether the caller has to load it.
func (p *Pool) enter(key Key, bytes int64) (e *entry, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e = p.entries[key]; e != nil {
		e.holders++
		return e, false
	}

	p.makeRoom(bytes)
	e = &entry{bytes: bytes, holders: 1, loaded: make(chan struct{})}
	if p.entries == nil {
		p.entries = map[Key]*entry{}
	}
	p.entries[key] = e
	p.bytes += bytes
	return e, true
}

// load loads an entry. One that fails, or panics, is out of the pool before others hear of it, so
// that the next caller loads it again.
func (p *Pool) load(ctx context.Context, key Key, e *entry,
	load func(context.Context) (any, error)) {
	e.err = fmt.Errorf("loading %s has panicked", key.Component)
	defer func() {
		if e.err != nil {
			e.value, e.gaveUp = nil, ctx.Err() != nil
			p.mu.Lock()
			p.remove(key, e)
			p.mu.Unlock()
		}
		close(e.loaded)
	}()
	e.value, e.err = load(ctx)
}

// leave takes a holder from an entry. Entries that nobody holds are removed if they do not fit.
func (p *Pool) leave(key Key, e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock++
	e.holders, e.used = e.holders-1, p.clock
	p.makeRoom(0)
}

// makeRoom removes entries that nobody holds, the least recently used first, until so many bytes
// more are within the limit, or nothing is left to remove.
func (p *Pool) makeRoom(bytes int64) {
	for p.bytes+bytes > p.limit {
		var oldest Key
		var found *entry
		for key, e := range p.entries {
			if e.holders == 0 && (found == nil || e.used < found.used) {
				oldest, found = key, e
			}
		}
		if found == nil {
			return
		}
		p.remove(oldest, found)
	}
}

// remove takes an entry out of the pool, if it is still in it. The garbage collector frees the
// weights once the last holder has dropped them.
func (p *Pool) remove(key Key, e *entry) {
	if p.entries[key] == e {
		delete(p.entries, key)
		p.bytes -= e.bytes
	}
}
