package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/longtake/longtake/internal/compute"
)

// memory is a run of float32 in the Go heap; data is nil once it is freed.
type memory struct {
	n    int
	data []float32
}

// Len returns the number of float32 elements.
func (m *memory) Len() int { return m.n }

// vector is a row of parameters.
type vector []float32

// Len returns the number of elements.
func (v vector) Len() int { return len(v) }

// view is a checked matrix over host memory; it ends where its last row does.
type view struct {
	data               []float32 // from the first element on
	rows, cols, stride int
}

// row returns row i, which cannot be appended to.
func (v view) row(i int) []float32 {
	o := i * v.stride
	return v.data[o : o+v.cols : o+v.cols]
}

// from returns what lies at a row and column and after it, nil for a matrix without rows.
func (v *view) from(row, col int) []float32 {
	if v.rows == 0 {
		return nil
	}
	return v.data[row*v.stride+col:]
}

// rowOrNil is row, or nil for a matrix without rows.
func (v *view) rowOrNil(i int) []float32 {
	if v.rows == 0 {
		return nil
	}
	return v.row(i)
}

// Alloc returns zeroed memory for n float32 elements, or compute.ErrMemory when the limit is
// reached.
func (d *Device) Alloc(n int) (compute.Memory, error) {
	if n < 0 {
		return nil, fmt.Errorf("cannot allocate %d elements on the cpu", n)
	}
	if err := d.take(n); err != nil {
		return nil, err
	}
	return &memory{n: n, data: aligned(n)}, nil
}

// aligned returns n zeroed elements that start at a cache line, so that no vector of a panel
// straddles two lines.
func aligned(n int) []float32 {
	const line = 64
	v := make([]float32, n+line/4)
	at := int(-uintptr(unsafe.Pointer(&v[0])) % line / 4)
	return v[at : at+n : at+n]
}

// take accounts for n more float32 elements. It fails with compute.ErrMemory where the limit would
// be exceeded, and then accounts for nothing.
func (d *Device) take(n int) error {
	const most = 1 << 48 // elements; beyond any machine, and safe to multiply by 4
	bytes := 4 * int64(n)
	if n > most {
		return fmt.Errorf("cannot allocate %d elements on the cpu: at most %d", n, int64(most))
	}
	if used := d.used.Add(bytes); d.limit > 0 && used > d.limit {
		d.used.Add(-bytes)
		return fmt.Errorf("cannot allocate %d bytes on the cpu: %w: %d of %d bytes are in use",
			bytes, compute.ErrMemory, used-bytes, d.limit)
	}
	return nil
}

// Free gives memory back. Freeing twice, or memory of another device kind, panics.
func (d *Device) Free(m compute.Memory) {
	if m == nil {
		return
	}
	h := memoryOf("Free", m)
	d.used.Add(-4 * int64(h.n))
	h.data, h.n = nil, 0
}

// Floats views memory that the device allocated; writes go through.
func (d *Device) Floats(m compute.Memory) []float32 { return memoryOf("Floats", m).data }

// Vector copies a row of parameters to the device.
func (d *Device) Vector(v []float32) (compute.Vector, error) {
	if err := d.take(len(v)); err != nil {
		return nil, err
	}
	return append(vector{}, v...), nil
}

// Upload copies src, dense row-major [dst.Rows, dst.Cols], into dst.
func (d *Device) Upload(dst compute.Mat, src []float32) {
	to := viewOf("Upload", "dst", dst)
	if len(src) != to.rows*to.cols {
		panic(fmt.Sprintf("cpu: Upload: %d values for %d x %d", len(src), to.rows, to.cols))
	}
	for i := range to.rows {
		copy(to.row(i), src[i*to.cols:])
	}
}

// Download copies src into dst, dense row-major.
func (d *Device) Download(dst []float32, src compute.Mat) error {
	from := viewOf("Download", "src", src)
	if len(dst) != from.rows*from.cols {
		panic(fmt.Sprintf("cpu: Download: %d values for %d x %d", len(dst), from.rows, from.cols))
	}
	for i := range from.rows {
		copy(dst[i*from.cols:], from.row(i))
	}
	return d.pool.stop.Err()
}

// DownloadBF16 copies src into dst, dense row-major, rounded to bfloat16 in little-endian bytes.
func (d *Device) DownloadBF16(dst []byte, src compute.Mat) error {
	from := viewOf("DownloadBF16", "src", src)
	checkBytes("DownloadBF16", len(dst), from)
	bf16, w := &d.kern.bf16, d.pool.workers[0]

	// narrow leaves units: pairs are the wanted bytes already, single numbers are the upper half.
	buf := floats(&w.a, bf16.units(from.cols)+1)
	for i := range from.rows {
		bf16.narrow(buf, from.row(i))
		to := dst[2*i*from.cols : 2*(i+1)*from.cols]
		if bf16.per == 2 {
			copy(to, unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), len(to)))
			continue
		}
		for j, v := range buf[:from.cols] {
			binary.LittleEndian.PutUint16(to[2*j:], uint16(math.Float32bits(v)>>16))
		}
	}
	return d.pool.stop.Err()
}

// UploadBF16 copies bfloat16 in little-endian bytes, dense row-major, into dst.
func (d *Device) UploadBF16(dst compute.Mat, src []byte) {
	to := viewOf("UploadBF16", "dst", dst)
	checkBytes("UploadBF16", len(src), to)
	for i := range to.rows {
		row, from := to.row(i), src[2*i*to.cols:2*(i+1)*to.cols]
		for j := range row {
			row[j] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(from[2*j:])) << 16)
		}
	}
}

// checkBytes panics unless n bytes are those of v in bfloat16.
func checkBytes(op string, n int, v view) {
	if n != 2*v.rows*v.cols {
		panic(fmt.Sprintf("cpu: %s: %d bytes for %d x %d", op, n, v.rows, v.cols))
	}
}
