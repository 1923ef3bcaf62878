package cpu

import "unsafe"

// tileLen is about how many elements of the packed matrix a task multiplies with per block of k, at
// most, so that they stay in the second cache. It changes speed, never bits.
const tileLen = 128 << 10

// lineLen is the elements of a cache line.
const lineLen = 16

// source is the left matrix of a product, of which the micro-kernel reads each row through a
// pointer: the rows of a linear layer, or the voxels that a convolution gathers. Workers call it
// concurrently.
type source interface {
	// load prepares rows [row, row+rows), steps [k0, k0+n), for setPointers.
	load(w *worker, row, rows, k0, n int)
	// setPointers sets at[i] to step k0 of row+i, from where as many steps follow as the product's
	// run says. All of at is set, to some readable row where there is none.
	setPointers(w *worker, at []*float32, row, k0 int)
	// ahead returns where step k0 of a row will be read from, and the elements to that of the next
	// row; nil where it is not worth prefetching.
	ahead(row, k0 int) (at *float32, step int)
}

// product is src [m, k] times w [k, n], finished by ep. The steps of k lie in runs that end at
// multiples of span, over which a row's elements lie next to each other. A block of k is several
// whole runs, or a part of one.
type product struct {
	m       int
	src     source
	w       *panels
	bf16    *bf16Kernels // what w's units are, nil for float32
	gemm    microTile
	span    int
	skip    int // columns before the first that is kept, see linear.Part
	ep      epilogue
	mr, nr  int // rows and columns of the micro-kernel
	rows    int // rows of a task
	cols    int // columns of a task
	depth   int // steps of a block of k, at most
	rowTask int // number of tasks over the rows
	group   int // tasks over the rows that follow each other before the columns change
}

// multiply runs the product on the workers. It starts with the largest tasks whose operands fit the
// caches and halves them until each thread has about four, so that none is idle for long at the
// end. How tasks are cut changes no bits: each element is summed over k by one task, in order.
func (d *Device) multiply(of product) {
	if of.m == 0 {
		return
	}
	d.product = of
	p, k := &d.product, d.kern
	p.mr, p.nr, p.depth = k.mr, k.nr, k.depth
	rowsMost := k.rowsMost
	if p.w.stored != nil {
		// Panels are made anew by each task that multiplies them: for as many rows as possible.
		p.depth, rowsMost = storedDepth, storedRows
	}
	p.rows, p.cols = split(p.m, rowsMost, k.mr), split(p.w.n, tileLen/min(p.w.k, p.depth), k.nr)

	for wanted := 4 * d.pool.size(); d.pool.size() > 1 && p.tasks() < wanted; {
		switch {
		case p.cols > 2*k.nr:
			p.cols = split(p.cols, (p.cols+1)/2, k.nr)
		case p.rows > 2*k.mr && p.w.stored == nil:
			p.rows = split(p.rows, (p.rows+1)/2, k.mr)
		default:
			wanted = 0 // no smaller task is worth its start
		}
	}
	p.rowTask = ceil(p.m, p.rows)
	p.group = max(1, p.rowTask/d.pool.size())
	d.pool.run(p.tasks(), p)
}

// tasks returns how many tasks the product is cut into.
func (p *product) tasks() int {
	return ceil(p.m, p.rows) * ceil(p.w.n, p.cols)
}

// block is a task: the rows and columns of the product that it computes.
type block struct{ row, rows, col, cols int }

// block returns a task. Tasks of a group of rows follow each other, so that a worker's part of the
// batch is rows, mostly those that it wrote in the operation before.
func (p *product) block(task int) block {
	perGroup := p.group * ceil(p.w.n, p.cols)
	first, i := task/perGroup*p.group, task%perGroup
	rows := min(p.group, p.rowTask-first)
	row, col := (first+i%rows)*p.rows, i/rows*p.cols
	return block{row, min(p.rows, p.m-row), col, min(p.cols, p.w.padded-col)}
}

// do computes a task: block of k by block of k, panel by panel, all its rows, in the worker's c.
func (p *product) do(w *worker, task int) {
	t := p.block(task)
	ld := t.cols + lineLen // so that rows do not share a cache set
	c := floats(&w.c, roundUp(t.rows, p.mr)*ld)

	for k0 := 0; k0 < p.w.k; {
		n, runs := p.blockOfK(k0)
		p.src.load(w, t.row, t.rows, k0, n*runs)
		at := p.pointers(w, t, k0, n, runs)
		for j := 0; j < t.cols; j += p.nr {
			b, width := p.w.panel(w, p.bf16, t.col+j, k0, n*runs)
			next := p.ahead(t, j, k0, n*runs)
			p.gemm(c[j:], ld, t.rows, width, at, runs, n, b, next, k0 > 0)
		}
		k0 += n * runs
	}

	// Columns before skip, and those that only fill the last panel, are dropped.
	first := max(0, p.skip-t.col)
	col, width := t.col+first-p.skip, min(t.cols, p.w.n-t.col)-first
	if p.ep.rowScales != nil {
		p.ep.rescale(t.row, t.rows, col, width, c[first:], ld)
	}
	p.ep.store(w, t.row, t.rows, col, width, c[first:], ld)
}

// prefetch is what a micro-kernel fetches while it works: a cache line of a row and one of another
// panel at a time. Addresses need not be mapped; prefetches do not fault.
type prefetch struct {
	row   *float32 // nil: nothing
	step  int      // elements from it to the row of the next group of rows
	panel int      // bytes from the panel at work to the other one
}

// ahead returns what to fetch while panel j of a block of n steps is multiplied: the panel after
// it, and a row per group of what comes next, which is the rows of the next block of k, or after
// the last one the rows of dst.
func (p *product) ahead(t block, j, k0, n int) prefetch {
	next := prefetch{}
	switch last := j+p.nr >= t.cols; {
	case p.w.data == nil || last && k0+n == p.w.k:
		// Panels of another form are made in cache, and after the very last panel comes none.
	case last: // back to the first panel, for the next block of k
		next.panel = 4 * (n*p.nr - j*p.w.k)
	default:
		next.panel = 4 * p.nr * p.w.k
	}

	i := j / p.nr * ceil(t.rows, p.mr)
	switch {
	case i >= t.rows:
	case k0+n < p.w.k:
		next.row, next.step = p.src.ahead(t.row+i, k0+n)
	default:
		dst := &p.ep.dst
		next.row, next.step = &dst.from(t.row+i, max(0, t.col-p.skip))[0], dst.stride
	}
	return next
}

// blockOfK returns how many steps a run of the block of k at k0 has, and how many runs there are.
func (p *product) blockOfK(k0 int) (n, runs int) {
	if p.span > p.depth {
		return min(p.depth, p.span-k0%p.span), 1
	}
	return p.span, min(p.depth/p.span, (p.w.k-k0)/p.span)
}

// pointers returns the row pointers of a block of k, in the order of kernels.gemm: group of mr rows
// by group, run by run.
func (p *product) pointers(w *worker, t block, k0, n, runs int) []*float32 {
	groups := ceil(t.rows, p.mr)
	at := w.rowPointers(groups * p.mr * runs)
	for i := range groups * runs {
		p.src.setPointers(w, at[i*p.mr:(i+1)*p.mr], t.row+i/runs*p.mr, k0+i%runs*n)
	}
	return at
}

// pointAt sets pointers to n rows that lie step elements apart. The last row stands for those that
// do not exist.
func pointAt(at []*float32, rows []float32, step, n int) {
	first := unsafe.Pointer(&rows[:(n-1)*step+1][0])
	for i := range at {
		at[i] = (*float32)(unsafe.Add(first, 4*step*min(i, n-1)))
	}
}

// matrix is a source of the rows of x, read in place or from a copy in the worker's a.
type matrix struct {
	x      view
	copied bool         // because rows are rounded, or lie apart by a multiple of alias
	bf16   *bf16Kernels // rounds the rows; then k counts units
}

// alias is the distance of rows, in elements, at which twelve of them no longer fit the first cache
// side by side: a multiple of 2 KiB.
const alias = 512

// newMatrix decides whether the rows of x are copied.
func newMatrix(x view, bf16 *bf16Kernels) matrix {
	return matrix{x: x, bf16: bf16, copied: bf16 != nil || x.stride%alias == 0 && x.rows > 4}
}

// load implements source: it copies the rows, rounded to units where bf16 is set.
func (m *matrix) load(w *worker, row, rows, k0, n int) {
	if !m.copied {
		return
	}
	w.ld = n + 16
	a := floats(&w.a, rows*w.ld)
	for r := range rows {
		if x := m.x.row(row + r); m.bf16 != nil {
			m.bf16.narrow(a[r*w.ld:], x[k0*m.bf16.per:min((k0+n)*m.bf16.per, len(x))])
		} else {
			copy(a[r*w.ld:], x[k0:k0+n])
		}
	}
	w.row, w.last, w.k0 = row, rows-1, k0
}

// setPointers implements source.
func (m *matrix) setPointers(w *worker, at []*float32, row, k0 int) {
	for i := range at {
		if m.copied {
			at[i] = &w.a[min(row+i-w.row, w.last)*w.ld+k0-w.k0]
		} else {
			at[i] = &m.x.data[min(row+i, m.x.rows-1)*m.x.stride+k0]
		}
	}
}

// ahead implements source.
func (m *matrix) ahead(row, k0 int) (at *float32, step int) {
	if m.bf16 != nil {
		k0 *= m.bf16.per
	}
	return &m.x.data[row*m.x.stride+min(k0, m.x.cols-1)], m.x.stride
}
