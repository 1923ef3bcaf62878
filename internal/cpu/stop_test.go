package cpu

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/longtake/longtake/internal/compute"
)

// TestNoTaskBeginsOnceStopped stops a batch from within one of its tasks: each of the other workers
// may end the one that it has.
func TestNoTaskBeginsOnceStopped(t *testing.T) {
	for _, threads := range []int{1, 2, 5} {
		p := newPool(threads)
		ctx, cancel := context.WithCancel(t.Context())
		release := p.stop.StopWith(ctx)
		var after atomic.Int32
		p.run(10_000, taskFunc(func(_ *worker, task int) {
			if p.stop.Stopped() {
				after.Add(1)
			}
			if task == 10 {
				cancel()
				for !p.stop.Stopped() {
				}
			}
		}))
		if n := after.Load(); n >= int32(threads) { //nolint:gosec // few
			t.Errorf("%d threads: %d tasks began after the stop", threads, n)
		}
		done := 0
		if p.run(3, taskFunc(func(*worker, int) { done++ })); done > 0 {
			t.Errorf("%d threads: a batch ran while stopped", threads)
		}
		release()
		var all atomic.Int32
		if p.run(100, taskFunc(func(*worker, int) { all.Add(1) })); all.Load() != 100 {
			t.Errorf("%d threads: %d of 100 tasks after the release", threads, all.Load())
		}
		p.close()
	}
}

// TestAttentionStopsBetweenTilesOfKeys stops a task of attention, which may read millions of keys,
// in its first tile.
func TestAttentionStopsBetweenTilesOfKeys(t *testing.T) {
	d, err := New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const keys, width = 60 * keyTile, 32
	mem, err := d.Alloc((keys + 2) * width)
	if err != nil {
		t.Fatal(err)
	}
	k := compute.NewMat(mem, keys+2, width)
	q, out := k.RowRange(keys, keys+1), k.RowRange(keys+1, keys+2)
	k = k.RowRange(0, keys)

	ctx, cancel := context.WithCancelCause(t.Context())
	release := d.StopWith(ctx)
	defer release()
	kern, why, tiles := *d.kern, errors.New("enough"), 0
	d.kern, kern.softmax = &kern, func(s []float32, n int, scale float32, bias []float32, at int,
		r *running) {
		tiles++
		cancel(why)
		for !d.pool.stop.Stopped() {
		}
		chooseSoftmax(t)(s, n, scale, bias, at, r)
	}
	d.Attention(out, q, k, k, compute.AttentionArgs{Heads: 1, Scale: 1})
	if tiles != 1 {
		t.Errorf("%d of %d tiles were computed", tiles, keys/keyTile)
	}
	if err := d.Download(make([]float32, width), out); !errors.Is(err, why) {
		t.Errorf("the result is handed out with %v", err)
	}
}

// chooseSoftmax returns the softmax of this machine's kernels.
func chooseSoftmax(t *testing.T) softmaxFunc {
	k, err := chooseKernels()
	if err != nil {
		t.Fatal(err)
	}
	return k.softmax
}

// TestProgressShowsEveryTask looks at it from within tasks, of batches of one worker and of
// several.
func TestProgressShowsEveryTask(t *testing.T) {
	for _, threads := range []int{1, 3} {
		p := newPool(threads)
		var last atomic.Uint64
		var same atomic.Int32
		for range 3 {
			p.run(1, taskFunc(func(*worker, int) {
				if now := p.progress(); last.Swap(now) == now {
					same.Add(1)
				}
			}))
		}
		before := p.progress()
		p.run(50, taskFunc(func(*worker, int) {}))
		if same.Load() > 0 || p.progress() == before {
			t.Errorf("%d threads: of 4 batches %d do not show", threads, same.Load())
		}
		p.close()
	}
}
