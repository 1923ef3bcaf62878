package cpu

import (
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestEveryTaskIsDoneOnce runs batches of any size one after the other; some tasks take long, so
// that those behind them are left to the other workers.
func TestEveryTaskIsDoneOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPool(size(t, "threads", 6))
		defer p.close()
		for _, tasks := range rapid.SliceOfN(rapid.IntRange(0, 40), 1, 20).Draw(t, "batches") {
			slow := rapid.IntRange(-20, tasks).Draw(t, "slow")
			done := make([]atomic.Int32, tasks)
			p.run(tasks, taskFunc(func(_ *worker, task int) {
				if task == slow {
					time.Sleep(100 * time.Microsecond)
				}
				done[task].Add(1)
			}))
			for i := range done {
				if n := done[i].Load(); n != 1 {
					t.Fatalf("task %d of %d was done %d times", i, tasks, n)
				}
			}
		}
	})
}

// TestAWorkerBeginsWithItsOwnTasks starts each batch when the other worker sleeps (one that still
// looks for something to take may take anything), and holds both back until both are at work.
func TestAWorkerBeginsWithItsOwnTasks(t *testing.T) {
	p := newPool(2)
	defer p.close()
	for range 20 {
		for !p.workers[1].asleep.Load() {
			time.Sleep(10 * time.Microsecond)
		}
		var by [2]*worker
		var arrived atomic.Int32
		p.run(2, taskFunc(func(w *worker, task int) {
			by[task] = w
			for arrived.Add(1); arrived.Load() < 2; {
				time.Sleep(10 * time.Microsecond)
			}
		}))
		if by[0] != p.workers[0] || by[1] != p.workers[1] {
			t.Fatal("a worker began with the other one's tasks")
		}
	}
}
