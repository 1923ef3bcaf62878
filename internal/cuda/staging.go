//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
)

// The slots of staging: large enough for the bus's speed, and enough of them that the host copies
// one while the GPU works on others.
const (
	slotBytes = 1 << 20
	slotCount = 4
)

// staging is pinned memory that Upload, Download and weights pass through on their way to the GPU
// and back, in slots that take turns. A slot is free again once its event has happened.
type staging struct {
	pinned []byte
	events [slotCount]cu.Event // the latest copy of each slot is done
	next   int                 // the slot whose turn it is
}

// open takes pinned memory of the driver. What it has made when it fails, close frees.
func (s *staging) open() (err error) {
	if s.pinned, err = pinned(slotBytes * slotCount); err != nil {
		return err
	}
	for i := range s.events {
		if s.events[i], err = cu.MakeEvent(cu.DisableTiming); err != nil {
			return err
		}
	}
	return nil
}

// close frees everything; the stream's work must be done.
func (s *staging) close() error {
	var errs []error
	for i := range s.events {
		if s.events[i] != (cu.Event{}) {
			errs = append(errs, cu.DestroyEvent(&s.events[i]))
		}
	}
	if s.pinned != nil {
		errs = append(errs, cu.MemFreeHost(unsafe.Pointer(&s.pinned[0])))
	}
	s.pinned = nil
	return errors.Join(errs...)
}

// slot waits until the next slot is free, and returns it with the event to record after its copy.
func (s *staging) slot() ([]byte, cu.Event, error) {
	i := s.next
	s.next = (i + 1) % slotCount
	return s.pinned[i*slotBytes : (i+1)*slotBytes], s.events[i], s.events[i].Synchronize()
}

// block is a matrix of elements of size bytes on the GPU: rows of width bytes, pitch apart.
type block struct {
	at           cu.DevicePtr
	rows         int
	width, pitch int64
}

// run is a part of a block that fits a slot.
type run struct {
	block
	from int64 // at which byte of the block's dense copy it begins
}

// runs cuts a block into runs of whole rows, or parts of one where a row is larger than a slot.
func (b block) runs(f func(r run)) {
	if b.rows == 0 || b.width == 0 {
		return
	}
	if b.rows == 1 || b.width == b.pitch { // dense: one long row
		b = block{at: b.at, rows: 1, width: int64(b.rows) * b.width}
	}

	each := max(1, int(slotBytes/b.width))
	for i := 0; i < b.rows; i += each {
		n := min(each, b.rows-i)
		for col := int64(0); col < b.width; col += slotBytes {
			part := block{at: b.at + cu.DevicePtr(int64(i)*b.pitch+col), rows: n,
				width: min(slotBytes, b.width-col), pitch: b.pitch}
			f(run{block: part, from: int64(i)*b.width + col})
		}
	}
}

// up copies dense bytes to a block of the GPU; src may be changed once it returns.
func (d *Device) up(b block, src []byte) {
	b.runs(func(r run) {
		slot, event, err := d.staging.slot()
		if d.keep(err); d.failure() != nil {
			return
		}

		n := int64(r.rows) * r.width
		copy(slot, src[r.from:r.from+n])
		host := unsafe.Pointer(&slot[0])
		if r.rows == 1 {
			d.keep(cu.MemcpyHtoDAsync(r.at, host, n, d.stream))
		} else {
			d.keep(rowsUp(r.block, host, d.stream))
		}
		d.keep(event.Record(d.stream))
	})
}

// down copies a block of the GPU to dense bytes and waits for it.
func (d *Device) down(dst []byte, b block) error {
	b.runs(func(r run) {
		slot, event, err := d.staging.slot()
		if d.keep(err); d.failure() != nil {
			return
		}

		n, host := int64(r.rows)*r.width, unsafe.Pointer(&slot[0])
		if r.rows == 1 {
			d.keep(cu.MemcpyDtoHAsync(host, r.at, n, d.stream))
		} else {
			d.keep(rowsDown(host, r.block, d.stream))
		}

		d.keep(event.Record(d.stream))
		d.keep(event.Synchronize())
		copy(dst[r.from:r.from+n], slot)
	})
	return d.outcome()
}

// bytesOf views values as bytes, without a copy; float32 and bfloat16 are little-endian on every
// host of a GPU.
func bytesOf[T float32 | int32 | uint16](v []T) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*int(unsafe.Sizeof(v[0])))
}

// Upload copies src, dense row-major [dst.Rows, dst.Cols], into dst.
func (d *Device) Upload(dst compute.Mat, src []float32) {
	to := anyView("Upload", "dst", dst)
	if len(src) != to.rows*to.cols {
		panic(fmt.Sprintf("cuda: Upload: %d values for %d x %d", len(src), to.rows, to.cols))
	}
	d.enter("Upload")
	defer d.leave()
	plain := d.plain(to)
	d.up(plain.block(), bytesOf(src))
	if to.form != floats {
		d.elements(copyRows, plain, copyParams(to, plain)...)
	}
}

// Download copies src into dst, dense row-major, after all earlier operations are done.
func (d *Device) Download(dst []float32, src compute.Mat) error {
	from := anyView("Download", "src", src)
	if len(dst) != from.rows*from.cols {
		panic(fmt.Sprintf("cuda: Download: %d values for %d x %d", len(dst), from.rows, from.cols))
	}
	d.enter("Download")
	defer d.leave()
	plain := d.plain(from)
	if from.form != floats {
		d.elements(copyRows, plain, copyParams(plain, from)...)
	}
	return d.down(bytesOf(dst), plain.block())
}

// plain returns a view itself, or for an operand scratch of its size in float32: an empty view,
// where there is no memory.
func (d *Device) plain(v view) view {
	if v.form == floats {
		return v
	}
	m := d.grow(&d.scratch, 4*v.rows*v.cols)
	if m == nil {
		return view{}
	}
	return view{at: m.at, rows: v.rows, cols: v.cols, stride: v.cols}
}

// DownloadBF16 is Download rounded to bfloat16.
func (d *Device) DownloadBF16(dst []byte, src compute.Mat) error {
	from := anyView("DownloadBF16", "src", src)
	d.enter("DownloadBF16")
	defer d.leave()
	packed := d.packed("DownloadBF16", len(dst), from)
	if packed == nil {
		return d.outcome()
	}
	d.elements(packBF16, from, packParams(packed.at, from)...)
	return d.down(dst, block{at: packed.at, rows: 1, width: int64(len(dst))})
}

// UploadBF16 is Upload of what DownloadBF16 gives.
func (d *Device) UploadBF16(dst compute.Mat, src []byte) {
	to := anyView("UploadBF16", "dst", dst)
	d.enter("UploadBF16")
	defer d.leave()
	packed := d.packed("UploadBF16", len(src), to)
	if packed == nil {
		return
	}
	d.up(block{at: packed.at, rows: 1, width: int64(len(src))}, src)
	d.elements(unpackBF16, to, unpackParams(to, packed.at)...)
}

// packed returns scratch for n bytes, those of a matrix in bfloat16; nil when there are none, or no
// memory, which has become the device's error then. It panics when n is another number.
func (d *Device) packed(op string, n int, v view) *memory {
	if n != 2*v.rows*v.cols {
		panic(fmt.Sprintf("cuda: %s: %d bytes for %d x %d", op, n, v.rows, v.cols))
	}
	return d.grow(&d.scratch, n)
}

// grow returns *m with room for n bytes; what was in it is gone. It returns nil for 0 bytes, or
// when there is no memory.
func (d *Device) grow(m **memory, n int) *memory {
	if n == 0 || d.failure() != nil {
		return nil
	}
	if *m != nil && (*m).bytes >= int64(n) {
		return *m
	}

	// The old one may go at once: what still uses it was issued before.
	if *m != nil {
		d.keep(d.memory.give(*m))
	}
	var err error
	if *m, err = d.take(int64(n)); err != nil {
		*m = nil
		d.keep(err)
	}
	return *m
}
