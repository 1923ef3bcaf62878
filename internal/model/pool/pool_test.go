package pool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/longtake/longtake/internal/compute"
)

// weights are what the tests load: each load makes others.
type weights struct{ name string }

// acquire acquires a component of size bytes and counts its loads.
func acquire(t *testing.T, p *Pool, name string, bytes int64, loads *atomic.Int32) (*weights,
	func()) {
	t.Helper()
	w, release, err := Acquire(t.Context(), p, Key{Component: name, Packing: "test"}, bytes,
		func(context.Context) (*weights, error) {
			loads.Add(1)
			return &weights{name}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return w, release
}

func TestWeightsAreLoadedOnce(t *testing.T) {
	p, loads := new(Pool), atomic.Int32{}
	var all [8]*weights
	var releases [8]func()
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i], releases[i] = acquire(t, p, "transformer", 10, &loads) })
	}
	wg.Wait()
	for _, w := range all {
		if w != all[0] {
			t.Error("two callers have weights of their own")
		}
	}
	if n := loads.Load(); n != 1 || p.Bytes() != 10 {
		t.Errorf("%d loads and %d bytes, want 1 and 10", n, p.Bytes())
	}

	// Without a limit they go with the last holder; a second release counts for nothing.
	for _, release := range releases[1:] {
		release()
		release()
	}
	if p.Bytes() != 10 {
		t.Errorf("%d bytes while one holds them, want 10", p.Bytes())
	}
	releases[0]()
	if acquire(t, p, "transformer", 10, &loads); loads.Load() != 2 {
		t.Error("weights that nobody held have stayed in a pool without a limit")
	}
}

func TestKeysAreApart(t *testing.T) {
	p, loads := new(Pool), 0
	for _, k := range []Key{
		{Folder: "a", Component: "transformer", Packing: "avx2"},
		{Folder: "b", Component: "transformer", Packing: "avx2"},
		{Folder: "a", Component: "transformer_2", Packing: "avx2"},
		{Folder: "a", Component: "transformer", Packing: "avx2", DType: compute.BF16},
		{Folder: "a", Component: "transformer", Packing: "avx2", LoRA: "l:1"},
		{Folder: "a", Component: "transformer", Packing: "generic"},
		// Without a name for how they are packed, nothing is shared.
		{Folder: "a", Component: "transformer"},
		{Folder: "a", Component: "transformer"},
	} {
		_, _, err := Acquire(t.Context(), p, k, 1, func(context.Context) (int, error) {
			loads++
			return loads, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if loads != 8 {
		t.Errorf("8 keys were loaded %d times", loads)
	}
}

func TestTheLeastRecentlyUsedMakesRoom(t *testing.T) {
	p, loads := New(100), atomic.Int32{}
	_, held := acquire(t, p, "held", 40, &loads)
	for _, name := range []string{"a", "b", "a"} {
		_, release := acquire(t, p, name, 25, &loads)
		release()
	}
	if n := loads.Load(); n != 3 {
		t.Fatalf("%d loads, want 3: held, a, b", n)
	}

	// 90 bytes are there; c needs b's, which was used before a.
	_, release := acquire(t, p, "c", 25, &loads)
	if p.Bytes() != 90 {
		t.Errorf("%d bytes with c, want 90", p.Bytes())
	}
	acquire(t, p, "a", 25, &loads)
	if n := loads.Load(); n != 4 {
		t.Errorf("%d loads with c, want 4: a has stayed", n)
	}

	// What is held stays, even beyond the limit.
	acquire(t, p, "large", 90, &loads)
	if p.Bytes() != 180 {
		t.Errorf("%d bytes with large, want 180", p.Bytes())
	}
	release()
	held()
	if p.Bytes() != 115 {
		t.Errorf("%d bytes once held and c are released, want 115: a and large", p.Bytes())
	}
}

func TestWhatNobodyHolds(t *testing.T) {
	p, loads := New(100), atomic.Int32{}
	_, held := acquire(t, p, "held", 40, &loads)
	_, release := acquire(t, p, "idle", 25, &loads)
	if !p.Has("", "idle") || p.Has("", "other") || p.Has("f", "idle") || p.Idle() != 0 {
		t.Errorf("%d bytes are idle while both are held", p.Idle())
	}
	release()
	if !p.Has("", "idle") || p.Idle() != 25 {
		t.Errorf("%d bytes are idle, want 25", p.Idle())
	}
	p.Trim()
	if p.Has("", "idle") || !p.Has("", "held") || p.Bytes() != 40 {
		t.Errorf("%d bytes after what is idle has gone, want 40", p.Bytes())
	}
	held()
}

func TestErrorsOfLoading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, key := New(100), Key{Component: "vae", Packing: "test"}
		broken, loads := errors.New("broken"), 0
		first, giveUp := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { // it is told to give up while it loads
			_, _, err := Acquire(first, p, key, 10, func(ctx context.Context) (int, error) {
				loads++
				<-ctx.Done()
				return 0, ctx.Err()
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the one that gave up has the error %v", err)
			}
		})
		synctest.Wait()
		for range 2 { // one of them loads in its place, and both have its error
			wg.Go(func() {
				_, _, err := Acquire(t.Context(), p, key, 10, func(context.Context) (int, error) {
					loads++
					synctest.Wait() // until the other one waits, too
					return 0, broken
				})
				if !errors.Is(err, broken) {
					t.Errorf("the error is %v, want %v", err, broken)
				}
			})
		}
		impatient, cancel := context.WithCancelCause(t.Context())
		wg.Go(func() { // it stops waiting
			if _, _, err := Acquire(impatient, p, key, 10, func(context.Context) (int, error) {
				return 0, nil
			}); !errors.Is(err, broken) {
				t.Errorf("the one that stopped waiting has the error %v", err)
			}
		})
		synctest.Wait()
		cancel(broken)
		synctest.Wait()
		giveUp()
		wg.Wait()
		if loads != 2 || p.Bytes() != 0 {
			t.Errorf("%d loads and %d bytes, want 2 and 0", loads, p.Bytes())
		}
	})
}
