//go:build cuda

package cuda

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
	"gorgonia.org/cu"
)

// The layouts of v2 and v3 need memory beyond what operations are given.
var _ compute.Workspace = (*Device)(nil)

// Panels are how v3 wants its operands, see kernels/include/panels.h: 64 columns of all rows in
// bfloat16, then the next 64. Rows of a panel are a multiple of 8, its groups of that many begin
// where a tile may.
const (
	panelCols  = 64
	panelBytes = 2 * panelCols // of a row of a panel
	panelGroup = 8
)

// Tiles of linear_v3, and the blocks of its clusters, whose tiles lie one below the other.
const (
	rowsV3    = 128
	colsV3    = 256
	clusterV3 = 2

	packer = 256 // threads of pack_v3

	// Shared memory of a block: four stages, and what makes them begin at a multiple of 1024.
	sharedLinearV3 = 4*(rowsV3+colsV3)*panelBytes + 1024
)

// panels are those of a matrix: where they begin, how many, and how many rows each has.
type panels struct{ at, pitch, count value }

// panelPitch is the rows of a panel with those of zeros that fill its last group.
func panelPitch(rows int) int { return ceil(rows, panelGroup) * panelGroup }

// panelCount is the panels of so many columns.
func panelCount(cols int) int { return ceil(cols, panelCols) }

// panelLines is the rows of all panels of a matrix, and those of zeros after them.
func panelLines(rows, cols, tail int) int { return panelCount(cols)*panelPitch(rows) + tail }

// intoPanels rounds m and lays it out at an address, with tail rows of zeros, which a tile may
// read, after the last panel.
func (d *Device) intoPanels(to cu.DevicePtr, m view, tail int) panels {
	pitch := num(panelPitch(m.rows))
	lines := panelLines(m.rows, m.cols, tail)
	d.launch(packV3, ceil(lines*panelBytes/16, packer), 1, arg(to), ptr(m), num(m.stride),
		num(m.rows), num(m.cols), pitch, num(tail))
	return panels{arg(to), pitch, num(panelCount(m.cols))}
}

// storePanels brings a weight [out, in] to the device as panels, by way of float32 on the device.
func (d *Device) storePanels(p *packed, parts []tensor.Tensor) (err error) {
	lines := panelLines(p.out, p.in, colsV3)
	if p.weight, err = owned(d, p, int64(panelBytes*lines)); err != nil {
		return err
	}

	// The whole weight is there in float32 for a moment: panels are made of all rows at once.
	plain, err := d.take(int64(4 * p.out * p.in))
	if err != nil {
		return err
	}
	err = d.convert(plain.at, parts, compute.FP32)
	d.intoPanels(p.weight.at, view{at: plain.at, rows: p.out, cols: p.in, stride: p.in}, colsV3)
	d.keep(d.memory.give(plain))
	return err
}

// panelsOf returns x in panels: as it is, if it is an operand, or else laid out in the device's
// scratch. Where there is no memory for that, the error sticks, and ok is false.
func (d *Device) panelsOf(x view) (p panels, ok bool) {
	if x.rows == 0 {
		return p, false
	}
	if x.form != floats {
		x.asOperand("Linear", "x", inPanels)
		return panels{ptr(x), num(x.stride), num(panelCount(x.cols))}, true
	}
	m := d.grow(&d.rounded, panelBytes*panelLines(x.rows, x.cols, rowsV3))
	if m == nil {
		return p, false
	}
	return d.intoPanels(m.at, x, rowsV3), true
}

// linearPanels is Linear with a kernel of v3: x is laid out in panels, unless it is, then
// multiplied.
func (d *Device) linearPanels(k kernel, l *linear, x, out view, ep epilogue) {
	a, ok := d.panelsOf(x)
	if !ok {
		return
	}

	// A part may begin within a group of rows; the kernel starts at the group and skips some.
	skip := l.lo % panelGroup
	w := l.whole.weight.at + cu.DevicePtr((l.lo-skip)*panelBytes)
	clusters := ceil(x.rows, clusterV3*rowsV3) * ceil(skip+out.cols, colsV3)
	clusters = min(clusters, max(1, d.processors/clusterV3))
	d.launch(k, clusterV3*clusters, 1, append([]value{a.at, a.pitch, arg(w),
		num(panelPitch(l.whole.out)), num(x.rows), a.count, num(out.cols), num(skip)}, ep[:]...)...)
}

// LinearBytes returns what the kernel takes for a rounded x.
func (d *Device) LinearBytes(rows, in, out int, t compute.DType) int64 {
	switch d.linearOf(in, out, t).kernel {
	case linearFP8:
		return bytesFP8(rows, in, rowsFP8) + int64(4*rows)
	case linearV3:
		return int64(panelBytes * panelLines(rows, in, rowsV3))
	case linearV2:
		return int64(2 * rows * in)
	}
	return 0
}

// AttentionBytes returns what the kernel takes for rounded keys and values; of operands, v3 still
// turns the values.
func (d *Device) AttentionBytes(keys, heads, headDim int, t compute.DType, operands bool) int64 {
	by := d.attentionOf(headDim, false, t)
	switch by.kernel {
	case attentionV3Of64, attentionV3Of128:
		if operands {
			return int64(sizeV3(by, keys, heads))
		}
		return int64(2 * sizeV3(by, keys, heads))
	case attentionV2Of32, attentionV2Of64, attentionV2Of128:
		if operands {
			return 0
		}
		return int64(2 * sizeV2(keys, heads, headDim))
	}
	return 0
}

// sizeV3 returns the bytes of keys, or of values, in panels.
func sizeV3(by product, keys, heads int) int {
	return 2 * heads * ceil(keys, keysV3) * keysV3 * by.cols
}

// Tiles of attention_v3.
const (
	queriesV3 = 128
	keysV3    = 192
	blocksV3  = 2  // of a cluster
	pinsV3    = 64 // bytes that its 8 warps write to and nobody reads
)

// sharedV3 is the shared memory of attention_v3 for heads of a width: two consumers' queries, two
// tiles of keys and two of values, and what makes them begin at a multiple of 1024.
func sharedV3(wide int) int {
	return 2*wide*(queriesV3+2*2*keysV3) + pinsV3 + 1024
}

// attentionV3 returns the kernel for heads of a width.
func attentionV3(hd int, relative bool) product {
	switch {
	case relative || hd > 128:
		return product{}
	case hd > 64:
		return product{attentionV3Of128, queriesV3, 128}
	}
	return product{attentionV3Of64, queriesV3, 64}
}

// attendPanels is attention with v3: keys and values are laid out in panels, head after head, then
// every block of queries reads them. An operand's keys lie so already, and its values only have to
// be turned. There are no relative positions: v2 has those.
func (d *Device) attendPanels(by product, q, k, v, dst view, lists value,
	a compute.AttentionArgs) {
	if q.rows == 0 {
		return
	}
	wide, hd := by.cols, q.cols/a.Heads
	pitch := ceil(k.rows, keysV3) * keysV3
	need := 2 * sizeV3(by, k.rows, a.Heads)
	if k.form != floats {
		k.asOperand("Attention", "k", inPanels)
		v.asOperand("Attention", "v", inPanels)
		pitch = k.stride
		need = 2 * a.Heads * pitch * wide
	}
	m := d.grow(&d.rounded, need)
	if m == nil {
		return
	}

	keys, vals := k.at, m.at
	if k.form == floats {
		keys, vals = m.at, m.at+cu.DevicePtr(need/2)
		d.launch(packV3, ceil(panelCount(hd)*pitch*panelBytes/16, packer), a.Heads, arg(keys), ptr(k),
			num(k.stride), num(k.rows), num(hd), num(pitch), 0)
	}
	d.launch(packValuesV3, ceil(pitch*wide*2/16, packer), a.Heads, append(append([]value{arg(vals)},
		v.matrix()...), num(k.rows), num(hd), num(wide), num(pitch/panelCols))...)

	// Blocks come in clusters; one without queries returns at once.
	blocks := ceil(q.rows, blocksV3*by.rows) * blocksV3
	d.launch(by.kernel, blocks, a.Heads, append(dst.matrix(), ptr(q), num(q.stride),
		arg(keys), arg(vals), num(pitch), num(q.rows), num(k.rows), num(hd), float(a.Scale),
		float(a.LastKeyBias), lists)...)
}
