package cpu

// Sizes of the blocks that a task works on; they change speed, never bits.
const (
	tileRows = 32  // rows of a task, packed at once
	tileCols = 256 // columns of a task
	depth    = 512 // steps of k that are packed at once; the sums wait in the task's tile
)

// panels is a matrix [k, n] packed for the micro-kernel: panels of nr columns, each k·nr values.
type panels struct {
	n, k, nr int
	data     []float32
}

// packPanels packs w [n, k] (row-major: the columns of the product) into panels; at gives for a
// step of k its place in a row of w, nil means the same place.
func packPanels(w []float32, n, k, nr int, at []int) panels {
	p := panels{n: n, k: k, nr: nr, data: make([]float32, roundUp(n, nr)*k)}
	for j := range n {
		to, row := p.data[j/nr*nr*k+j%nr:], w[j*k:(j+1)*k]
		for step, x := range row {
			if at != nil {
				x = row[at[step]]
			}
			to[step*nr] = x
		}
	}
	return p
}

// panel returns steps [k0, k1) of the columns that start at col, a multiple of nr.
func (p panels) panel(col, k0, k1 int) []float32 {
	o := col * p.k
	return p.data[o+k0*p.nr : o+k1*p.nr]
}

// source gives the left matrix of a product, mr rows at a time.
type source interface {
	// pack interleaves steps [k0, k1) of rows [row, row+mr) into dst; rows beyond the end are zero.
	pack(w *worker, dst []float32, row, k0, k1 int)
}

// product is src [m, k] times w [k, n]; store gets each finished part of a row once.
type product struct {
	m     int
	src   source
	w     panels
	store func(row, col int, y []float32)
}

// multiply runs the product on the workers.
func (d *Device) multiply(p *product) {
	rows := (p.m + tileRows - 1) / tileRows
	cols := (p.w.n + tileCols - 1) / tileCols
	d.pool.run(rows*cols, func(w *worker, task int) {
		d.tile(w, p, task%rows*tileRows, task/rows*tileCols)
	})
}

// tile computes rows [row, row+tileRows) of columns [col, col+tileCols), as far as they exist.
func (d *Device) tile(w *worker, p *product, row, col int) {
	height := min(tileRows, p.m-row)
	width := min(tileCols, p.w.n-col)
	ld := roundUp(width, p.w.nr)
	high := roundUp(height, d.kern.mr)
	c := floats(&w.c, high*ld)
	for k0 := 0; k0 < p.w.k; k0 += depth {
		k1 := min(k0+depth, p.w.k)
		a := floats(&w.a, high*(k1-k0))
		for r := 0; r < high; r += d.kern.mr {
			p.src.pack(w, a[r*(k1-k0):(r+d.kern.mr)*(k1-k0)], row+r, k0, k1)
		}
		for j := 0; j < width; j += p.w.nr {
			b := p.w.panel(col+j, k0, k1)
			for r := 0; r < high; r += d.kern.mr {
				d.kern.gemm(c[r*ld+j:], ld, a[r*(k1-k0):(r+d.kern.mr)*(k1-k0)], b, k0 > 0)
			}
		}
	}
	for r := range height {
		p.store(row+r, col, c[r*ld:r*ld+width])
	}
}

// matrix is a source that reads the rows of x, with zeros to stand for rows that do not exist.
type matrix struct {
	x    view
	kern *kernels
	zero []float32
}

func (m *matrix) pack(w *worker, dst []float32, row, k0, k1 int) {
	rows := w.lanes(m.kern.mr)
	for i := range rows {
		if row+i < m.x.rows {
			rows[i] = m.x.row(row + i)[k0:k1]
		} else {
			rows[i] = m.zero[:k1-k0]
		}
	}
	m.kern.interleave(dst, rows)
}

// lanes returns room for n row slices.
func (w *worker) lanes(n int) [][]float32 {
	if cap(w.rows) < n {
		w.rows = make([][]float32, n)
	}
	return w.rows[:n]
}

// zeros is read by every packer and written by none.
var zeros = make([]float32, depth)
