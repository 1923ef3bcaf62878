package cpu

import (
	"encoding/binary"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
)

// FP8 on a CPU is the reference: numbers are rounded as compute.FP8 says, and are then multiplied
// as bfloat16, which holds every E4M3 number. It is no faster than that.

// The largest number of E4M3 ("FP8 Formats for Deep Learning", Micikevicius and others, 2022), and
// the bits of the least magnitude by which a row is scaled, 2^-100.
const (
	e4m3Most  = 448
	leastBits = 27 << 23
)

// quantise rounds x to bfloat16, then to E4M3 times the scale that it returns, and writes the
// E4M3 numbers to dst, which may be x. A NaN or an infinity makes the scale one, and with it
// every sum of the row: E4M3 has no infinity that could show. Rounding to bfloat16 comes first,
// since ranks send each other activations as bfloat16: a row that has travelled is rounded the
// same.
func quantise(dst, x []float32) (scale float32) {
	most := uint32(0) // of the magnitudes' bits, which are ordered as the numbers; NaN comes last
	for i, v := range x {
		bits := math.Float32bits(v)
		if v == v {
			bits = (bits + 0x7fff + bits>>16&1) &^ 0xffff
		}
		most = max(most, bits&0x7fffffff)
		dst[i] = math.Float32frombits(bits)
	}

	// The factor of such a row would overflow; its numbers are nothing beside any other's.
	if most < leastBits {
		clear(dst[:len(x)])
		return 0
	}

	// One quotient for the row, and a product for each number, as compute.Device says: a quotient for
	// each would round some of them to another neighbour.
	factor := e4m3Most / math.Float32frombits(most)
	for i, v := range dst[:len(x)] {
		dst[i] = e4m3(float32(v * factor))
	}
	return math.Float32frombits(most) / e4m3Most
}

// e4m3 rounds v, at most 448, to the nearest number with three bits behind the point, ties to even.
func e4m3(v float32) float32 {
	bits := math.Float32bits(v)
	if bits&0x7fffffff >= 121<<23 { // normal numbers, from 2^-6 on
		return math.Float32frombits((bits + 0x7ffff + bits>>20&1) &^ 0xfffff)
	}
	const shift = 1.5 * (1 << 14) // its last bit is 2^-9, that of E4M3's subnormal numbers
	return v + shift - shift      // rounded to nearest, ties to even, by the addition
}

// quantised returns a weight in E4M3 numbers, kept as bfloat16, and the scales of its rows. A row
// of a weight is an output, so a part of the outputs has a part of the scales. All of the machine's
// cores take part, as in packPanels.
func quantised(kern *kernels, w *stored) (*stored, []float32) {
	data, scales := make([]byte, 2*w.n*w.k), make([]float32, w.n)

	// Each goroutine takes the next row until there are none left.
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), w.n) {
		wg.Go(func() {
			x := make([]float32, w.k)

			for i := int(next.Add(1) - 1); i < w.n; i = int(next.Add(1) - 1) {
				t, row := w.row(i)
				widenInto(x, kern, t, row)
				scales[i] = quantise(x, x)
				for j, v := range x {
					half := uint16(math.Float32bits(v) >> 16)
					binary.LittleEndian.PutUint16(data[2*(i*w.k+j):], half)
				}
			}
		})
	}
	wg.Wait()

	t := tensor.Tensor{DType: tensor.BF16, Shape: tensor.Shape{w.n, w.k}, Data: data}
	return &stored{[]tensor.Tensor{t}, w.n, w.k}, scales
}

// linearFP8 is Linear with a weight in FP8, for as many rows at a time as narrowMost says.
func (d *Device) linearFP8(dst, x compute.Mat, l *linear, ep compute.Epilogue) {
	step := max(1, narrowMost/l.k)

	for lo := 0; lo < x.Rows; lo += step {
		hi := min(lo+step, x.Rows)
		in := viewOf("Linear", "x", x.RowRange(lo, hi))
		out := viewOf("Linear", "dst", dst.RowRange(lo, hi))

		ld := roundUp(l.k, lineLen) + lineLen // no multiple of alias
		units := view{data: floats(&d.units, in.rows*ld), rows: in.rows, cols: l.k, stride: ld}
		scales := floats(&d.scales, in.rows)
		d.each(rowwise{in: in, out: units, scales: scales, row: (*rowwise).quantise})

		// Then they are as those of bfloat16, but for the scales.
		d.matrix = newMatrix(units, nil)
		e := newEpilogue("Linear", d.kern, l.bias, ep.Rows(lo, hi), out)
		e.rowScales, e.colScales = scales, l.scales
		d.multiply(product{m: in.rows, src: &d.matrix, w: &l.panels, bf16: l.bf16, gemm: l.bf16.gemm,
			span: l.k, skip: l.skip, ep: e})
	}
}

// quantise rounds a row to units.
func (o *rowwise) quantise(w *worker, i int) {
	x := floats(&w.a, o.in.cols)
	o.scales[i] = quantise(x, o.in.row(i))
	o.kern.bf16.narrow(o.out.row(i), x)
}

// rescale multiplies columns [col, col+n) of rows, ld apart in y, by the scales of the operands.
func (e *epilogue) rescale(row, rows, col, n int, y []float32, ld int) {
	for i := range rows {
		line, scale := y[i*ld:i*ld+n], e.rowScales[row+i]
		for j, s := range e.colScales[col : col+n] {
			line[j] = float32(line[j]*scale) * s
		}
	}
}
