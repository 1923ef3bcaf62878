//go:build cuda

package cuda

import "github.com/longtake/longtake/internal/compute"

// Tiles of linear_v2 and attention_v2, whose warps multiply with mma.
const (
	tileV2    = 128 // rows and columns of a product
	depthV2   = 32  // of k in a stage, of which there are stagesV2
	stagesV2  = 3
	queriesV2 = 128
)

// runV2 is the elements of bfloat16 that an asynchronous copy moves: 16 bytes.
const runV2 = 8

// linearV2Of returns the kernel for a weight [out, in], whose rows have to begin at multiples of
// 16 bytes.
func linearV2Of(in, _ int) product {
	if in%runV2 != 0 {
		return product{}
	}
	return product{linearV2, tileV2, tileV2}
}

// attentionV2 returns the kernel for heads of a width.
func attentionV2(hd int, _ bool) product {
	switch {
	case hd > 128:
		return product{}
	case hd > 64:
		return product{kernel: attentionV2Of128, rows: queriesV2}
	case hd > 32:
		return product{kernel: attentionV2Of64, rows: queriesV2}
	}
	return product{kernel: attentionV2Of32, rows: queriesV2}
}

// keysV2 is how many keys a tile of attention_v2 has, for heads of a width.
func keysV2(wide int) int {
	if wide > 64 {
		return 32
	}
	return 64
}

// sharedV2 is the shared memory of attention_v2 for heads of a width: queries, keys and values.
func sharedV2(wide int) int { return 2 * wide * (queriesV2 + 2*keysV2(wide)) }

// rowsOf rounds m to bfloat16. Its rows consist of groups (heads), each of which is widened with
// zeros to a multiple of runV2, so that copies of 16 bytes are aligned.
func (d *Device) rowsOf(to value, m view, groups int) {
	width := m.cols / groups
	wide := ceil(width, runV2) * runV2
	d.launch(packV2, ceil(m.rows*groups*wide/runV2, packer), 1, to, num(wide), ptr(m), num(m.stride),
		num(m.rows), num(groups), num(width))
}

// linearRows is Linear with a kernel of v2: x is rounded into the device's scratch, unless it is an
// operand, then multiplied. Where there is no memory for that, the error sticks and nothing is
// launched.
func (d *Device) linearRows(k kernel, l *linear, x, out view, ep epilogue) {
	at := ptr(x)
	if x.form == floats {
		m := d.grow(&d.rounded, 2*x.rows*x.cols)
		if m == nil {
			return
		}
		at = arg(m.at)
		d.rowsOf(at, x, 1)
	} else if x.asOperand("Linear", "x", inRows); x.rows > 1 && x.stride != x.cols {
		panic("cuda: Linear: x is some of the columns of an operand")
	}
	d.launch(k, ceil(x.rows, tileV2), ceil(out.cols, tileV2), append([]value{at,
		l.weight(), num(x.rows), num(x.cols), num(out.cols)}, ep[:]...)...)
}

// sizeV2 returns the bytes of rounded keys, or of values.
func sizeV2(keys, heads, hd int) int { return 2 * keys * heads * ceil(hd, runV2) * runV2 }

// attendRows is attention with v2: keys and values are rounded once, then every block of queries
// reads them. The kernel rounds queries itself.
func (d *Device) attendRows(by product, q, k, v, dst, bias view, lists value,
	a compute.AttentionArgs) {
	hd := q.cols / a.Heads
	keys, vals, stride := ptr(k), ptr(v), k.stride
	if k.form == floats {
		size := sizeV2(k.rows, a.Heads, hd)
		m := d.grow(&d.rounded, 2*size)
		if m == nil {
			return
		}
		keys, vals, stride = arg(m.at), arg(m.at)+value(size), a.Heads*ceil(hd, runV2)*runV2
		d.rowsOf(keys, k, a.Heads)
		d.rowsOf(vals, v, a.Heads)
	} else {
		k.asOperand("Attention", "k", inRows)
		v.asOperand("Attention", "v", inRows)
	}

	d.launch(by.kernel, ceil(q.rows, by.rows), a.Heads, append(dst.matrix(), ptr(q), num(q.stride),
		keys, vals, num(q.rows), num(k.rows), num(stride), num(hd), float(a.Scale),
		float(a.LastKeyBias), ptr(bias), num(bias.stride), lists)...)
}
