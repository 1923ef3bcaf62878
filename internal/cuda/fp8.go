//go:build cuda

package cuda

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
	"gorgonia.org/cu"
)

var _ compute.TypeLister = (*Device)(nil)

// Tiles of linear_fp8, whose panels have twice as many columns as those of bfloat16, in as many
// bytes; and what they take of shared memory.
const (
	rowsFP8      = 256
	colsFP8      = 128
	panelColsFP8 = 128
	sharedFP8    = 4*(rowsFP8+colsFP8)*panelBytes + 1024
	packRowsFP8  = packer / 32 // rows of a block of pack_fp8
)

// DTypes implements compute.TypeLister: v3 alone has FP8, and only where it is what the GPU runs,
// so that one arithmetic has one answer.
func (d *Device) DTypes() []compute.DType {
	if d.generations[0].name == "v3" {
		return compute.DTypes()
	}
	return []compute.DType{compute.FP32, compute.BF16}
}

// bytesFP8 is the bytes of a matrix's panels, with tail rows of zeros behind the last: a tile that
// begins at any row of the matrix may read so many beyond it.
func bytesFP8(rows, cols, tail int) int64 {
	return int64(panelBytes * (ceil(cols, panelColsFP8)*panelPitch(rows) + tail))
}

// intoFP8 rounds m to panels at an address, and writes the scales of its rows to another.
func (d *Device) intoFP8(to, scales cu.DevicePtr, m view, tail int) {
	pitch := panelPitch(m.rows)
	d.launch(packFP8, ceil(pitch+tail, packRowsFP8), 1, arg(to), arg(scales), ptr(m), num(m.stride),
		num(m.rows), num(m.cols), num(pitch), num(tail))
}

// storeFP8 brings a weight [out, in] to the device, by way of float32 on the device: the scale of
// an output is that of its whole row, which staging slots may cut. What is there in the end is a
// byte for each number and four for each output.
func (d *Device) storeFP8(p *packed, parts []tensor.Tensor) (err error) {
	if p.weight, err = owned(d, p, bytesFP8(p.out, p.in, colsFP8)); err != nil {
		return err
	}
	if p.scales, err = owned(d, p, int64(4*p.out)); err != nil {
		return err
	}

	plain, err := d.take(int64(4 * p.out * p.in))
	if err != nil {
		return err
	}

	err = d.convert(plain.at, parts, compute.FP32)
	d.intoFP8(p.weight.at, p.scales.at,
		view{at: plain.at, rows: p.out, cols: p.in, stride: p.in}, colsFP8)
	d.keep(d.memory.give(plain))
	return err
}

// linearFP8 is Linear with a kernel of linear_fp8: x is rounded into the device's scratch, then
// multiplied. Where there is no memory for that, the error sticks and nothing is launched.
func (d *Device) linearFP8(k kernel, l *linear, x, out view, ep epilogue) {
	if x.rows == 0 {
		return
	}
	// Panels first, which begin at multiples of 1024 bytes, then the scales.
	size := bytesFP8(x.rows, x.cols, rowsFP8)
	m := d.grow(&d.rounded, int(size)+4*x.rows)
	if m == nil {
		return
	}

	scales := m.at + cu.DevicePtr(size)
	d.intoFP8(m.at, scales, x, rowsFP8)

	// A part may begin within a group of rows; the kernel starts at the group and skips some.
	skip := l.lo % panelGroup
	w := l.whole.weight.at + cu.DevicePtr((l.lo-skip)*panelBytes)

	blocks := ceil(x.rows, rowsFP8) * ceil(skip+out.cols, colsFP8)
	d.launch(k, blocks, 1, append([]value{arg(m.at), num(panelPitch(x.rows)), arg(w),
		num(panelPitch(l.whole.out)), num(x.rows), num(ceil(x.cols, panelColsFP8)), num(out.cols),
		num(skip), arg(scales), arg(l.whole.scales.at + cu.DevicePtr(4*l.lo))}, ep[:]...)...)
}
