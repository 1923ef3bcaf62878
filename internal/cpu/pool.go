package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/longtake/longtake/internal/compute"
)

// batch is a number of tasks, done one by one with the scratch of whoever takes it.
type batch interface{ do(w *worker, task int) }

// body is a batch of one function.
type body func(w *worker, task int)

func (b body) do(w *worker, task int) { b(w, task) }

// worker owns scratch that only the goroutine running it touches; buffers grow and stay.
type worker struct {
	a, b, c []float32
	// composed are the runs of a convolution that padding cuts.
	composed []float32
	at       []*float32
	state    state

	finishing   finishing // of the row at hand, here so that no row allocates
	normalising normalising

	own    share
	asleep atomic.Bool
	wake   chan struct{}

	row, last, k0, ld int // what a holds of a matrix
}

// aims returns room for n pointers.
func (w *worker) aims(n int) []*float32 {
	if cap(w.at) < n {
		w.at = make([]*float32, n)
	}
	return w.at[:n]
}

// floats returns n elements of *buf, growing it when needed; the contents are whatever was there.
func floats(buf *[]float32, n int) []float32 {
	if cap(*buf) < n {
		*buf = make([]float32, n)
	}
	return (*buf)[:n]
}

// pool runs batches of tasks on a fixed set of workers; workers[0] is the caller of run. A worker
// without work spins for a while before it sleeps: operations follow each other within
// microseconds, waking a sleeper takes longer.
type pool struct {
	workers []*worker
	batch   batch         // of the tasks at hand; fixed while any of them is unfinished
	waiting atomic.Int64  // tasks that nobody took
	left    atomic.Int64  // tasks that are not done
	begun   atomic.Uint64 // batches
	closed  atomic.Bool
	stop    compute.StopFlag // tasks that begin while it is on are left out
	ended   sync.WaitGroup
}

// A worker looks for work spinTurns times spinLooks times, about 50 µs, letting others run between.
const (
	spinTurns = 50
	spinLooks = 1000
)

// newPool starts threads-1 goroutines.
func newPool(threads int) *pool {
	p := &pool{}
	for range threads {
		p.workers = append(p.workers, &worker{wake: make(chan struct{}, 1)})
	}
	for i := 1; i < threads; i++ {
		p.ended.Go(func() { p.serve(i) })
	}
	return p
}

func (p *pool) size() int { return len(p.workers) }

// run does every task of b in [0, tasks), in any order and on any worker, and returns when all
// are done, or left out because operations were stopped. It is not reentrant.
func (p *pool) run(tasks int, b batch) {
	if p.closed.Load() {
		panic("cpu: the device is used after Close")
	}
	p.begun.Add(1)
	busy := min(len(p.workers), tasks)
	if busy < 2 {
		for i := 0; i < tasks && !p.stop.Stopped(); i++ {
			p.left.Store(int64(tasks - i))
			b.do(p.workers[0], i)
		}
		p.left.Store(0)
		return
	}
	if p.stop.Stopped() {
		return
	}
	p.batch = b
	p.left.Store(int64(tasks))
	p.waiting.Store(int64(tasks))
	for i, w := range p.workers[:busy] {
		w.own.set(i*tasks/busy, (i+1)*tasks/busy)
	}
	for _, w := range p.workers[1:busy] {
		w.rouse()
	}
	p.drain(0)
	for !spin(func() bool { return p.left.Load() == 0 }) {
	}
	p.batch = nil
}

// progress is another number after every task.
func (p *pool) progress() uint64 {
	return p.begun.Load()<<32 - uint64(p.left.Load()) //nolint:gosec // compared alone
}

// drain has a worker do its own share, then what is left of the others'. A task that was taken
// keeps its batch in place.
func (p *pool) drain(me int) {
	for i := range p.workers {
		from := &p.workers[(me+i)%len(p.workers)].own
		for {
			task, ok := from.take(i > 0)
			if !ok {
				break
			}
			p.waiting.Add(-1)
			if !p.stop.Stopped() {
				p.batch.do(p.workers[me], task)
			}
			p.left.Add(-1)
		}
	}
}

// share is the tasks of a batch that a worker does first: the same part of every batch, so that it
// finds in its caches what it wrote. The first one is in the upper half, behind the last one in the
// lower.
type share struct{ tasks atomic.Uint64 }

func (s *share) set(lo, hi int) {
	s.tasks.Store(uint64(lo)<<32 | uint64(hi)) //nolint:gosec // small
}

// take removes the first task, or the last one.
func (s *share) take(last bool) (task int, ok bool) {
	for {
		v := s.tasks.Load()
		lo, hi := v>>32, v&(1<<32-1)
		if lo >= hi {
			return 0, false
		}
		task, next := lo, v+1<<32
		if last {
			task, next = hi-1, v-1
		}
		if s.tasks.CompareAndSwap(v, next) {
			return int(task), true //nolint:gosec // below 1<<32
		}
	}
}

// spin looks for a condition a while; it reports whether it came true.
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

// serve is the life of a worker's goroutine.
func (p *pool) serve(me int) {
	w := p.workers[me]
	due := func() bool { return p.waiting.Load() > 0 || p.closed.Load() }
	for !p.closed.Load() {
		if !spin(due) {
			w.asleep.Store(true)
			if !due() || !w.asleep.CompareAndSwap(true, false) {
				<-w.wake // whoever made due true after the look saw asleep
			}
		}
		p.drain(me)
	}
}

// rouse wakes a worker that sleeps.
func (w *worker) rouse() {
	if w.asleep.CompareAndSwap(true, false) {
		w.wake <- struct{}{}
	}
}

// close ends the goroutines and waits for them.
func (p *pool) close() {
	if p.closed.Swap(true) {
		return
	}
	for _, w := range p.workers[1:] {
		w.rouse()
	}
	p.ended.Wait()
}
