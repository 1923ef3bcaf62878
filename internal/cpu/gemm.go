package cpu

// tileLen is about how many elements of the packed matrix a turn takes at most, so that they stay
// in the second cache; it changes speed, never bits.
const tileLen = 128 << 10

// panels is a matrix [k, n] packed for the micro-kernel: panels of kernels.nr columns, the last one
// of half as many where that is enough; a panel holds its columns step by step of k.
type panels struct {
	n, k, padded, nr int
	data             []float32
}

// packPanels packs w [n, k] (row-major: the columns of the product), rounded where low is set; then
// k counts units.
func packPanels(kern *kernels, w []float32, n, k int, low *lower) panels {
	units, round := k, func(_, row []float32) []float32 { return row }
	if low != nil {
		units = low.units(k)
		round = func(buf, row []float32) []float32 {
			low.narrow(buf, row)
			return buf
		}
	}
	p := panels{n: n, k: units, padded: kern.padded(n), nr: kern.nr}
	p.data = aligned(p.padded * units)
	rows, zero := make([]*float32, kern.nr), make([]float32, units)
	bufs := make([]float32, kern.nr*units)
	for j := 0; j < n; j += kern.nr {
		width := min(kern.nr, p.padded-j)
		for i := range width {
			row := zero
			if j+i < n {
				row = round(bufs[i*units:(i+1)*units], w[(j+i)*k:(j+i+1)*k])
			}
			rows[i] = &row[0]
		}
		kern.transpose(p.data[j*units:], width, rows[:width], units)
	}
	return p
}

// panel returns steps [k0, k0+n) of the panel that starts at column col, and its width.
func (p *panels) panel(col, k0, n int) (b []float32, width int) {
	width = min(p.nr, p.padded-col)
	o := col*p.k + k0*width
	return p.data[o : o+n*width], width
}

// source says where the left matrix of a product lies.
type source interface {
	// aim points at[i] to step k0 of row+i; all of at is set, to some row where there is none.
	// From there as many steps follow as the product's run says.
	aim(w *worker, at []*float32, row, k0 int)
	// load prepares rows [row, row+rows), steps [k0, k0+n), for aim.
	load(w *worker, row, rows, k0, n int)
}

// product is src [m, k] times w [k, n], finished by ep. The steps of k lie in runs that end at
// multiples of span; a turn takes several runs of a whole span, or a part of one.
type product struct {
	m       int
	src     source
	w       *panels
	gemm    microTile
	span    int
	skip    int // columns before the first that is kept
	ep      epilogue
	mr, nr  int
	rows    int // rows of a task
	cols    int // columns of a task
	depth   int // steps of k of a turn
	rowTask int // number of tasks over the rows
}

// multiply runs the product on the workers. Tasks are made small enough to share.
func (d *Device) multiply(of product) {
	if of.m == 0 {
		return
	}
	d.product = of
	p, k := &d.product, d.kern
	p.mr, p.nr, p.depth = k.mr, k.nr, k.depth
	p.rows, p.cols = split(p.m, k.rowsMost, k.mr), split(p.w.n, tileLen/min(p.w.k, k.depth), k.nr)
	for share := 4 * d.pool.size(); d.pool.size() > 1 && p.tasks() < share; {
		switch {
		case p.cols > 2*k.nr:
			p.cols = split(p.cols, (p.cols+1)/2, k.nr)
		case p.rows > 2*k.mr:
			p.rows = split(p.rows, (p.rows+1)/2, k.mr)
		default:
			share = 0
		}
	}
	p.rowTask = ceil(p.m, p.rows)
	d.pool.run(p.tasks(), p)
}

func (p *product) tasks() int {
	return ceil(p.m, p.rows) * ceil(p.w.n, p.cols)
}

// do computes a task: rows x cols of the product, as far as they exist.
func (p *product) do(w *worker, task int) {
	row, col := task%p.rowTask*p.rows, task/p.rowTask*p.cols
	rows, cols := min(p.rows, p.m-row), min(p.cols, p.w.padded-col)
	c := floats(&w.c, roundUp(rows, p.mr)*cols)
	for k0 := 0; k0 < p.w.k; {
		n, runs := p.turn(k0)
		p.src.load(w, row, rows, k0, n*runs)
		at := p.pointers(w, row, rows, k0, n, runs)
		for j := 0; j < cols; j += p.nr {
			b, width := p.w.panel(col+j, k0, n*runs)
			for r := 0; r < rows; r += p.mr {
				p.gemm(c[r*cols+j:], cols, min(p.mr, rows-r), width, at[r*runs:(r+p.mr)*runs],
					runs, n, b, k0 > 0)
			}
		}
		k0 += n * runs
	}
	first := max(0, p.skip-col)
	for r := range rows {
		p.ep.store(w, row+r, col+first-p.skip, c[r*cols+first:r*cols+min(cols, p.w.n-col)])
	}
}

// turn returns how many steps a run of the turn at k0 has, and how many runs there are.
func (p *product) turn(k0 int) (n, runs int) {
	if p.span > p.depth {
		return min(p.depth, p.span-k0%p.span), 1
	}
	return p.span, min(p.depth/p.span, (p.w.k-k0)/p.span)
}

// pointers aims at every run of every group of rows.
func (p *product) pointers(w *worker, row, rows, k0, n, runs int) []*float32 {
	groups := ceil(rows, p.mr)
	at := w.aims(groups * p.mr * runs)
	for i := range groups * runs {
		p.src.aim(w, at[i*p.mr:(i+1)*p.mr], row+i/runs*p.mr, k0+i%runs*n)
	}
	return at
}

// matrix is a source of the rows of x.
type matrix struct {
	x      view
	copied bool   // rows lie apart by a multiple of what makes them share a cache set
	low    *lower // rows are rounded; k counts units
}

// alias is the distance of rows, in elements, at which twelve of them no longer fit the first cache
// side by side: a multiple of 2 KiB.
const alias = 512

func newMatrix(x view, low *lower) matrix {
	return matrix{x: x, low: low, copied: low != nil || x.stride%alias == 0 && x.rows > 4}
}

func (m *matrix) load(w *worker, row, rows, k0, n int) {
	if !m.copied {
		return
	}
	w.ld = n + 16
	a := floats(&w.a, rows*w.ld)
	for r := range rows {
		if x := m.x.row(row + r); m.low != nil {
			m.low.narrow(a[r*w.ld:], x[k0*m.low.per:min((k0+n)*m.low.per, len(x))])
		} else {
			copy(a[r*w.ld:], x[k0:k0+n])
		}
	}
	w.row, w.last, w.k0 = row, rows-1, k0
}

func (m *matrix) aim(w *worker, at []*float32, row, k0 int) {
	for i := range at {
		if m.copied {
			at[i] = &w.a[min(row+i-w.row, w.last)*w.ld+k0-w.k0]
		} else {
			at[i] = &m.x.data[min(row+i, m.x.rows-1)*m.x.stride+k0]
		}
	}
}
