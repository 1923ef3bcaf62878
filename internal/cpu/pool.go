package cpu

import (
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
	a, c  []float32
	at    []*float32
	state state
	wake  chan struct{}

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

// pool runs batches of tasks on a fixed set of workers; workers[0] is the caller of run.
type pool struct {
	workers []*worker
	next    atomic.Int64
	tasks   int
	batch   batch
	group   sync.WaitGroup
	ended   sync.WaitGroup
	closed  bool
}

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
	if p.closed {
		panic("cpu: the device is used after Close")
	}
	others := min(len(p.workers), tasks) - 1
	if others < 1 {
		for i := range tasks {
			b.do(p.workers[0], i)
		}
		return
	}
	p.next.Store(0)
	p.tasks, p.batch = tasks, b
	p.group.Add(others)
	for _, w := range p.workers[1 : 1+others] {
		w.wake <- struct{}{}
	}
	p.drain(p.workers[0])
	p.group.Wait()
	p.batch = nil
}

// drain takes tasks until none is left.
func (p *pool) drain(w *worker) {
	for {
		i := int(p.next.Add(1)) - 1
		if i >= p.tasks {
			return
		}
		p.batch.do(w, i)
	}
}

// serve is the life of a worker's goroutine.
func (p *pool) serve(w *worker) {
	for range w.wake {
		p.drain(w)
		p.group.Done()
	}
}

// close ends the goroutines and waits for them.
func (p *pool) close() {
	if p.closed {
		return
	}
	p.closed = true
	for _, w := range p.workers[1:] {
		close(w.wake)
	}
	p.ended.Wait()
}

// elementsPerTask is how many elements a task of an elementwise operation has at least.
const elementsPerTask = 8192

// eachRow calls do for every row in [0, rows), width elements each, on the workers.
func (p *pool) eachRow(rows, width int, do func(i int)) {
	chunk := max(1, elementsPerTask/max(1, width))
	p.run((rows+chunk-1)/chunk, body(func(_ *worker, task int) {
		for i := task * chunk; i < min(rows, (task+1)*chunk); i++ {
			do(i)
		}
	}))
}
