package collective

import (
	"bytes"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// TestRelease wants the newest buffer of a size back, once, and nothing that does not belong there.
func TestRelease(t *testing.T) {
	const n = dirtyLeast + 3
	a, b := Dirty(n), Dirty(n)
	Release(a)
	Release(b)
	for _, want := range [][]byte{b, a} {
		if got := Dirty(n); unsafe.SliceData(got) != unsafe.SliceData(want) || len(got) != n {
			t.Error("a buffer that was given back is not used again")
		}
	}
	if released.take(n) != nil {
		t.Error("a buffer is in the pool twice")
	}

	Release(nil)
	Release(a[:10])
	Release(Dirty(2 * n)[1:]) // not aligned
	part := Dirty(3 * n)[:n]  // what is behind it may be somebody else's
	Release(part)
	if got := Dirty(n); unsafe.SliceData(got) != unsafe.SliceData(part) || cap(got) != n {
		t.Errorf("a part of %d bytes came back with %d", n, cap(got))
	}
	if n := len(released.free); n != 0 {
		t.Errorf("%d buffers are left", n)
	}
}

// TestReleaseTwice wants a panic: two owners of one buffer would overwrite each other's messages.
func TestReleaseTwice(t *testing.T) {
	b := Dirty(dirtyLeast)
	Release(b)
	defer func() {
		if recover() == nil {
			t.Error("a buffer was released twice")
		}
		Dirty(dirtyLeast)
	}()
	Release(b)
}

// TestPoolIsBounded fills a pool by count and by bytes, and wants the oldest to go.
func TestPoolIsBounded(t *testing.T) {
	p := &pool{limit: 1 << 20, idle: time.Hour}
	for n := range poolBuffers + 5 {
		p.put(make([]byte, n+1))
	}
	if len(p.free) != poolBuffers || p.take(5) != nil || p.take(6) == nil {
		t.Errorf("%d buffers", len(p.free))
	}

	p.put(make([]byte, p.limit))
	if len(p.free) != 1 || p.bytes != p.limit {
		t.Errorf("%d buffers of %d bytes", len(p.free), p.bytes)
	}
	p.put(make([]byte, p.limit+1))
	if len(p.free) != 0 || p.bytes != 0 {
		t.Errorf("%d buffers of %d bytes, larger than the pool", len(p.free), p.bytes)
	}

	p.put(make([]byte, 9))
	p.clear()
	if p.take(9) != nil || p.bytes != 0 {
		t.Error("an idle pool keeps memory")
	}
	p.empty.Stop()
}

// TestReleaseConcurrently has several owners at once, none of whom may find another's bytes.
func TestReleaseConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			want := bytes.Repeat([]byte{byte(g)}, dirtyLeast)
			for range 50 {
				b := Dirty(dirtyLeast)
				copy(b, want)
				if !bytes.Equal(b, want) {
					t.Error("two have the same buffer")
				}
				Release(b)
			}
		})
	}
	wg.Wait()
	released.clear()
}
