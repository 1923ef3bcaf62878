package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/longtake/longtake/internal/compute"
)

// batch is the tasks of one operation, done one by one with the scratch of the worker that takes
// them. Tasks of a batch run concurrently and in any order.
type batch interface{ do(w *worker, task int) }

// taskFunc is a batch of one function.
type taskFunc func(w *worker, task int)

func (f taskFunc) do(w *worker, task int) { f(w, task) }

// worker is one of a pool's threads with its scratch. Only the goroutine that runs the worker
// touches the scratch; buffers grow to what the largest task needs and stay.
type worker struct {
	a, b, c  []float32  // rows of the left matrix, a widened panel, sums of a block
	packing  packing    // of a panel from its file
	padded   []float32  // voxels of a convolution with the zeros around them, see gather.runStart
	pointers []*float32 // one per row, see rowPointers
	state    state      // the running softmax of an attention task

	// The rows that matrix.load has copied to a: the first one, the last one's index, the first step
	// of k, and the elements from one row to the next.
	row, last, k0, ld int

	// Arguments of kernels that take a pointer. They live here so that no row allocates.
	finishing   finishing
	normalising normalising

	tasks  taskRange     // what is left of the worker's own part of the batch
	asleep atomic.Bool   // it waits for wake
	wake   chan struct{} // holds one signal, sent by the one that clears asleep
}

// rowPointers returns room for n pointers, with whatever was there.
func (w *worker) rowPointers(n int) []*float32 {
	if cap(w.pointers) < n {
		w.pointers = make([]*float32, n)
	}
	return w.pointers[:n]
}

// floats returns n elements of *buf, growing it when needed; the contents are whatever was there.
func floats(buf *[]float32, n int) []float32 {
	if cap(*buf) < n {
		*buf = make([]float32, n)
	}
	return (*buf)[:n]
}

// pool runs batches on a fixed set of workers; workers[0] is the caller of run.
//
// A worker without work spins for about 50 µs before it sleeps: operations follow each other within
// microseconds, and waking a thread takes longer than that.
type pool struct {
	workers []*worker
	batch   batch // the one that runs; constant while any of its tasks is unfinished

	untaken    atomic.Int64  // tasks of the batch that no worker has taken
	unfinished atomic.Int64  // tasks of the batch that are not done
	batches    atomic.Uint64 // batches begun, ever

	stop       compute.StopFlag // once it is set, tasks are taken but not run
	closed     atomic.Bool
	goroutines sync.WaitGroup
}

// A spinning worker asks spinLooks times for work before it lets other goroutines run, spinTurns
// times over.
const (
	spinTurns = 50
	spinLooks = 1000
)

// newPool starts a pool of so many workers, of which all but the caller are new goroutines.
func newPool(threads int) *pool {
	p := &pool{}
	for range threads {
		p.workers = append(p.workers, &worker{wake: make(chan struct{}, 1)})
	}
	for i := 1; i < threads; i++ {
		p.goroutines.Go(func() { p.work(i) })
	}
	return p
}

func (p *pool) size() int { return len(p.workers) }

// run does every task of b in [0, tasks), in any order and on any worker. It returns when all are
// done, or skipped because operations were stopped. Only one goroutine at a time may call it, and
// tasks must not.
func (p *pool) run(tasks int, b batch) {
	if p.closed.Load() {
		panic("cpu: the device is used after Close")
	}
	p.batches.Add(1)
	busy := min(len(p.workers), tasks)
	if busy < 2 {
		p.runAlone(tasks, b)
		return
	}
	if p.stop.Stopped() {
		return
	}

	// Publish the batch before the ranges: a worker that still spins may take a task at once.
	p.batch = b
	p.unfinished.Store(int64(tasks))
	p.untaken.Store(int64(tasks))
	for i, w := range p.workers[:busy] {
		w.tasks.set(i*tasks/busy, (i+1)*tasks/busy)
	}
	for _, w := range p.workers[1:busy] {
		w.wakeUp()
	}

	p.drain(0)
	for !spin(func() bool { return p.unfinished.Load() == 0 }) {
	}
	p.batch = nil
}

// runAlone does tasks on the calling goroutine, for batches that are not worth sharing.
func (p *pool) runAlone(tasks int, b batch) {
	for i := 0; i < tasks && !p.stop.Stopped(); i++ {
		p.unfinished.Store(int64(tasks - i))
		b.do(p.workers[0], i)
	}
	p.unfinished.Store(0)
}

// progress returns a number that differs after every finished task. Its value means nothing.
func (p *pool) progress() uint64 {
	return p.batches.Load()<<32 - uint64(p.unfinished.Load()) //nolint:gosec // only compared
}

// drain makes worker me do its own tasks, then whatever the others have not taken yet. A batch
// stays in place until every task that was taken is finished.
func (p *pool) drain(me int) {
	for i := range p.workers {
		from := &p.workers[(me+i)%len(p.workers)].tasks
		for {
			// Others' tasks are taken from the end, which their owner reaches last.
			task, ok := from.take(i > 0)
			if !ok {
				break
			}
			p.untaken.Add(-1)
			if !p.stop.Stopped() {
				p.batch.do(p.workers[me], task)
			}
			p.unfinished.Add(-1)
		}
	}
}

// taskRange is the tasks [next, end) of a batch that a worker does first. A worker gets the same
// part of every batch, so that its caches hold what it wrote in the batch before. The two numbers
// are packed into one word, next in the high 32 bits and end in the low 32, so that owner and
// thieves can each take a task with one compare-and-swap.
type taskRange struct{ packed atomic.Uint64 }

// set gives the owner its tasks. Nobody else calls it while tasks are left.
func (r *taskRange) set(next, end int) {
	r.packed.Store(uint64(next)<<32 | uint64(end)) //nolint:gosec // small
}

// take removes the first task, or the last one. It fails when none is left.
func (r *taskRange) take(last bool) (task int, ok bool) {
	for {
		v := r.packed.Load()
		next, end := v>>32, v&(1<<32-1)
		if next >= end {
			return 0, false
		}
		task, rest := next, v+1<<32
		if last {
			task, rest = end-1, v-1
		}
		if r.packed.CompareAndSwap(v, rest) {
			return int(task), true //nolint:gosec // below 1<<32
		}
	}
}

// spin checks a condition for a while, and reports whether it became true.
func spin(ok func() bool) bool {
	for range spinTurns {
		for range spinLooks {
			if ok() {
				return true
			}
		}
		runtime.Gosched()
	}
	return false
}

// work is the loop of a worker's goroutine: spin for tasks, sleep when none come, until the pool is
// closed.
func (p *pool) work(me int) {
	w := p.workers[me]
	due := func() bool { return p.untaken.Load() > 0 || p.closed.Load() }
	for !p.closed.Load() {
		if !spin(due) {
			w.asleep.Store(true)
			// Check again: a producer that adds work after our check sees asleep and wakes us, one
			// that added it before may have looked too early.
			if !due() || !w.asleep.CompareAndSwap(true, false) {
				<-w.wake
			}
		}
		p.drain(me)
	}
}

// wakeUp wakes a worker that sleeps. Exactly one of the callers that clear asleep sends the signal.
func (w *worker) wakeUp() {
	if w.asleep.CompareAndSwap(true, false) {
		w.wake <- struct{}{}
	}
}

// close ends the goroutines and waits for them. Closing twice is harmless.
func (p *pool) close() {
	if p.closed.Swap(true) {
		return
	}
	for _, w := range p.workers[1:] {
		w.wakeUp()
	}
	p.goroutines.Wait()
}
