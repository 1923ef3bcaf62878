package cpu

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// panels is a matrix [k, n] packed for the micro-kernel: panels of kernels.nr columns, the last one
// of half as many where that is enough. A panel holds its columns step by step of k. It is kept in
// one of three forms.
type panels struct {
	n, k   int // columns, and steps of k in units
	padded int // columns with those of zeros that fill the last panel
	nr     int // columns of a whole panel
	kern   *kernels

	// The panels themselves, as float32 or in other units.
	data []float32
	// Or panels of bfloat16, of which a part is widened to float32 each time that it is used: half
	// the memory, and half the reading of it.
	halves []uint16
	// Or the weight as its file holds it, of whose rows from first on a part is packed each time that
	// it is used: no memory at all.
	stored *stored
	first  int
}

// packPanels packs w: its rows are the columns of the product. Where bf16 is set, values are
// rounded, and k counts units. All of the machine's cores take part, whatever the device has.
func packPanels(kern *kernels, w *stored, bf16 *bf16Kernels) panels {
	p := newPanels(kern, w, bf16)
	if w.halves(bf16) {
		p.halves = make([]uint16, p.padded*p.k)
	} else {
		p.data = aligned(p.padded * p.k)
	}

	// Each goroutine takes the next panel until there are none left.
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), ceil(p.n, p.nr)) {
		wg.Go(func() {
			var buf packing
			for {
				col := int(next.Add(1)-1) * p.nr
				if col >= p.n {
					return
				}
				p.pack(&buf, w, bf16, col)
			}
		})
	}
	wg.Wait()
	return p
}

// newPanels returns panels of w that nothing holds yet.
func newPanels(kern *kernels, w *stored, bf16 *bf16Kernels) panels {
	p := panels{n: w.n, k: w.k, padded: kern.padded(w.n), nr: kern.nr, kern: kern}
	if bf16 != nil {
		p.k = bf16.units(w.k)
	}
	return p
}

// pack packs the panel that starts at column col.
func (p *panels) pack(buf *packing, w *stored, bf16 *bf16Kernels, col int) {
	width := min(p.nr, p.padded-col)
	at, n := col*p.k, width*p.k
	if p.data != nil {
		buf.panel(p.data[at:at+n], p.kern, w, bf16, col, width, 0, p.k)
		return
	}
	turned := floats(&buf.turned, n)
	buf.panel(turned, p.kern, w, bf16, col, width, 0, p.k)
	for i, v := range turned {
		p.halves[at+i] = uint16(math.Float32bits(v) >> 16)
	}
}

// packing is scratch of the goroutine that packs.
type packing struct {
	rows, wide, turned []float32
	at                 []*float32
}

// panel packs steps [k0, k0+n) of the panel that starts at column col, [n, width], into dst.
func (b *packing) panel(dst []float32, kern *kernels, w *stored, bf16 *bf16Kernels, col, width,
	k0, n int) {
	// Rows lie a little apart from each other, so that they do not share cache sets.
	ld := n + lineLen
	rows := floats(&b.rows, width*ld)

	b.at = b.at[:0]
	for i := range width {
		row := rows[i*ld : i*ld+n]
		if col+i < w.n {
			w.units(row, &b.wide, kern, bf16, col+i, k0)
		} else {
			clear(row)
		}
		b.at = append(b.at, &row[0])
	}
	kern.transpose(dst, width, b.at, n)
}

// from views the panels from the one that starts at column col on.
func (p *panels) from(col int) panels {
	q := *p
	q.n, q.padded, q.first = p.n-col, p.padded-col, p.first+col
	switch {
	case p.data != nil:
		q.data = p.data[col*p.k:]
	case p.halves != nil:
		q.halves = p.halves[col*p.k:]
	}
	return q
}

// panel returns steps [k0, k0+n) of the panel that starts at column col, and its width. One that is
// not kept as it is lies in the worker's scratch, and is valid until the worker's next call.
func (p *panels) panel(w *worker, bf16 *bf16Kernels, col, k0, n int) (b []float32, width int) {
	width = min(p.nr, p.padded-col)
	at := col*p.k + k0*width
	if p.data != nil {
		return p.data[at : at+n*width], width
	}
	b = floats(&w.b, n*width)
	if p.stored != nil {
		w.packing.panel(b, p.kern, p.stored, bf16, p.first+col, width, k0, n)
	} else {
		p.kern.widen(b, p.halves[at:at+n*width])
	}
	return b, width
}
