package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
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
	batch   batch        // of the tasks in next; fixed while any of them is unfinished
	next    atomic.Int64 // tasks that nobody took
	left    atomic.Int64 // tasks that are not done
	closed  atomic.Bool
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
	for i := range threads {
		w := &worker{wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		if i > 0 {
			p.ended.Go(func() { p.serve(w) })
		}
	}
	return p
}

func (p *pool) size() int { return len(p.workers) }

// run does every task of b in [0, tasks), in any order and on any worker, and returns when all
// are done. It is not reentrant.
func (p *pool) run(tasks int, b batch) {
	if p.closed.Load() {
		panic("cpu: the device is used after Close")
	}
	others := min(len(p.workers), tasks) - 1
	if others < 1 {
		for i := range tasks {
			b.do(p.workers[0], i)
		}
		return
	}
	p.batch = b
	p.left.Store(int64(tasks))
	p.next.Store(int64(tasks))
	for _, w := range p.workers[1 : 1+others] {
		w.rouse()
	}
	p.drain(p.workers[0])
	for !spin(func() bool { return p.left.Load() == 0 }) {
	}
	p.batch = nil
}

// drain takes tasks until none is left. A task that was taken keeps its batch in place.
func (p *pool) drain(w *worker) {
	for {
		i := p.next.Add(-1)
		if i < 0 {
			return
		}
		p.batch.do(w, int(i))
		p.left.Add(-1)
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
func (p *pool) serve(w *worker) {
	due := func() bool { return p.next.Load() > 0 || p.closed.Load() }
	for !p.closed.Load() {
		if !spin(due) {
			w.asleep.Store(true)
			if !due() || !w.asleep.CompareAndSwap(true, false) {
				<-w.wake // whoever made due true after the look saw asleep
			}
		}
		p.drain(w)
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
