//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
)

// copySlotBytes is the default size of a lane's slot: enough for a copy to reach the bus's speed.
const copySlotBytes = 4 << 20

// The lanes of a device, by direction.
const (
	laneDown = iota
	laneUp
)

// lane is one direction of the copies that overlap computing: a stream of its own, and two slots of
// pinned memory that take turns. While the GPU fills or empties one, the host does the other.
type lane struct {
	mu     sync.Mutex // held by a download from its first piece to its last
	stream cu.Stream
	pinned []byte      // both slots
	raw    *memory     // as large, on the GPU: bfloat16 before or after it is converted
	events [2]cu.Event // the latest copy of each slot is done
	turn   int         // the next slot
	params params      // of kernels on this stream
}

// slot is half of a lane: the same bytes on the host and on the GPU.
type slot struct {
	host  []byte
	raw   cu.DevicePtr
	event cu.Event
}

// openLanes makes the lanes of a new device.
func (d *Device) openLanes() error {
	for i := range d.lanes {
		if err := d.openLane(&d.lanes[i]); err != nil {
			return fmt.Errorf("cannot open the lanes of copies: %w", err)
		}
	}
	return nil
}

// openLane makes one lane. What it has made when it fails, close frees.
func (d *Device) openLane(l *lane) (err error) {
	if l.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
		return err
	}
	if l.pinned, err = pinned(2 * d.slotSize); err != nil {
		return err
	}
	for i := range l.events {
		if l.events[i], err = cu.MakeEvent(cu.DisableTiming); err != nil {
			return err
		}
	}
	l.raw, err = d.take(int64(len(l.pinned)))
	return err
}

// close waits for the lane's copies and frees what is the driver's; raw goes with the arena.
func (l *lane) close() error {
	var errs []error
	if l.stream != cu.NoStream {
		errs = append(errs, l.stream.Synchronize(), l.stream.Destroy())
	}
	for i := range l.events {
		if l.events[i] != (cu.Event{}) {
			errs = append(errs, cu.DestroyEvent(&l.events[i]))
		}
	}
	if l.pinned != nil {
		errs = append(errs, cu.MemFreeHost(unsafe.Pointer(&l.pinned[0])))
	}
	return errors.Join(errs...)
}

// slot returns the slot whose turn it is.
func (l *lane) slot() slot {
	i, size := l.turn, len(l.pinned)/2
	l.turn = 1 - i
	return slot{host: l.pinned[i*size : (i+1)*size], raw: l.raw.at + cu.DevicePtr(i*size),
		event: l.events[i]}
}

// eventPool is events without clocks: points in the order of a stream, for other streams and the
// host to wait for. They are used again and again, since making one costs as much as a launch.
type eventPool struct {
	mu   sync.Mutex
	all  []cu.Event // that were made
	free []cu.Event // that nobody waits for
}

// recordEvent records a point of a stream. The caller gives the event back once it has waited for
// it, or made a stream wait.
func (d *Device) recordEvent(s cu.Stream) cu.Event {
	m := &d.events
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.free) == 0 {
		e, err := cu.MakeEvent(cu.DisableTiming)
		if d.keep(err); err != nil {
			return e
		}
		m.all, m.free = append(m.all, e), append(m.free, e)
	}
	e := m.free[len(m.free)-1]
	m.free = m.free[:len(m.free)-1]
	d.keep(e.Record(s))
	return e
}

// give puts an event back; the zero one, of a failed recordEvent, is none.
func (m *eventPool) give(e cu.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e != (cu.Event{}) {
		m.free = append(m.free, e)
	}
}

// close destroys all events.
func (m *eventPool) close() error {
	var errs []error
	for i := range m.all {
		errs = append(errs, cu.DestroyEvent(&m.all[i]))
	}
	return errors.Join(errs...)
}

// copies implements compute.Copies and compute.PeerCopies.
type copies struct {
	d      *Device
	begun  cu.Event // on the stream of operations, when the set was opened
	waited bool     // the lane of uploads has waited for begun
}

// BeginCopies opens copies that overlap the operations issued from here on.
func (d *Device) BeginCopies() compute.Copies {
	d.enter("BeginCopies")
	defer d.leave()
	d.releaseTransfers()
	return &copies{d: d, begun: d.recordEvent(d.stream)}
}

// bytesIn returns the size of an element of type t on its way, after it has checked that n bytes
// are those of v.
func bytesIn(op string, v view, t compute.DType, n int) int {
	size := sizeOf(t)
	travels(op, v, t)
	if n != size*v.rows*v.cols {
		panic(fmt.Sprintf("cuda: %s: %d bytes for %d x %d in %v", op, n, v.rows, v.cols, t))
	}
	return size
}

// travels checks that a matrix can be copied in type t: an operand only as what it is.
func travels(op string, v view, t compute.DType) {
	if v.form != floats && t != compute.BF16 {
		panic(fmt.Sprintf("cuda: %s: an operand in bfloat16 travels as %v", op, t))
	}
}

// packParams are the parameters of packBF16 from a view to dense rows, and unpackParams those of
// unpackBF16 the other way.
func packParams(to cu.DevicePtr, from view) []value {
	return append(append([]value{arg(to)}, from.matrix()...), num(from.rows), num(from.cols))
}

func unpackParams(to view, from cu.DevicePtr) []value {
	return append(to.matrix(), arg(from), num(to.rows), num(to.cols))
}

// Download begins to copy src to dst. The function that it returns does the waiting and may run on
// another goroutine: all that it shares with operations is behind mutexes or on its own lane.
func (c *copies) Download(dst []byte, src compute.Mat, t compute.DType) func() error {
	from, d := anyView("Download", "src", src), c.d
	bytesIn("Download", from, t, len(dst))
	d.enter("Download")
	defer d.leave()
	if len(dst) == 0 || d.failure() != nil {
		return d.outcome
	}
	after := d.recordEvent(d.stream)
	return func() error {
		d.enter("Download")
		defer d.leave()
		defer d.events.give(after)
		return d.fetch(dst, from, t, after)
	}
}

// fetch copies a view to dst once the event after has happened: piece by piece, of which one is on
// its way while the one before is copied out of its slot.
func (d *Device) fetch(dst []byte, from view, t compute.DType, after cu.Event) error {
	l := &d.lanes[laneDown]
	l.mu.Lock()
	defer l.mu.Unlock()

	d.keep(l.stream.Wait(after, 0))
	var before piece
	from.pieces(sizeOf(t), d.slotSize, func(p view, at int) {
		s := l.slot()
		d.pieceDown(l, s, p, t)
		d.empty(before, dst)
		before = piece{slot: s, at: at, bytes: sizeOf(t) * p.rows * p.cols}
	})
	d.empty(before, dst)
	return d.outcome()
}

// piece is a part of what is copied, on its way to a slot.
type piece struct {
	slot
	at, bytes int // of the whole
}

// empty waits for a piece to arrive and copies it out of its slot.
func (d *Device) empty(p piece, dst []byte) {
	if p.bytes == 0 || d.failure() != nil {
		return
	}
	d.keep(p.event.Synchronize())
	copy(dst[p.at:p.at+p.bytes], p.host)
}

// pieceDown issues the copy of a view that fits a slot.
func (d *Device) pieceDown(l *lane, s slot, p view, t compute.DType) {
	if d.failure() != nil {
		return
	}
	b, host := p.block(), unsafe.Pointer(&s.host[0])

	// bfloat16 is packed into the slot's memory on the GPU first.
	if t == compute.BF16 {
		n := p.rows * p.cols
		d.launchOn(l.stream, &l.params, packBF16, ceil(n, kernels[packBF16].threads), 1,
			packParams(s.raw, p))
		b = block{at: s.raw, rows: 1, width: int64(2 * n)}
	}

	if b.rows == 1 {
		d.keep(cu.MemcpyDtoHAsync(host, b.at, b.width, l.stream))
	} else {
		d.keep(rowsDown(host, b, l.stream))
	}
	d.keep(s.event.Record(l.stream))
}

// Upload copies src to dst while what was issued since BeginCopies runs.
func (c *copies) Upload(dst compute.Mat, src []byte, t compute.DType) error {
	to, d := anyView("Upload", "dst", dst), c.d
	size := bytesIn("Upload", to, t, len(src))
	d.enter("Upload")
	defer d.leave()
	if len(src) == 0 || d.failure() != nil {
		return d.failure()
	}

	// A slot may be filled again once the GPU has copied what was in it.
	l := c.uploads()
	to.pieces(size, d.slotSize, func(p view, at int) {
		s := l.slot()
		d.keep(s.event.Synchronize())
		copy(s.host, src[at:at+size*p.rows*p.cols])
		d.pieceUp(l, s, p, t)
	})
	return d.failure()
}

// uploads returns the lane for uploads, whose first copy of the set waits until the operations
// before the set are done: they may still read what it writes.
func (c *copies) uploads() *lane {
	l := &c.d.lanes[laneUp]
	if !c.waited {
		c.d.keep(l.stream.Wait(c.begun, 0))
		c.waited = true
	}
	return l
}

// pieceUp issues the copy of a slot to a view.
func (d *Device) pieceUp(l *lane, s slot, p view, t compute.DType) {
	if d.failure() != nil {
		return
	}
	b, n, host := p.block(), p.rows*p.cols, unsafe.Pointer(&s.host[0])
	if t == compute.BF16 {
		b = block{at: s.raw, rows: 1, width: int64(2 * n)}
	}

	if b.rows == 1 {
		d.keep(cu.MemcpyHtoDAsync(b.at, host, b.width, l.stream))
	} else {
		d.keep(rowsUp(b, host, l.stream))
	}
	d.keep(s.event.Record(l.stream))

	// bfloat16 is unpacked from the slot's memory on the GPU.
	if t == compute.BF16 {
		d.launchOn(l.stream, &l.params, unpackBF16, ceil(n, kernels[unpackBF16].threads), 1,
			unpackParams(p, s.raw))
	}
}

// End makes the operations that follow wait for the uploads. The set must not be used again.
func (c *copies) End() {
	d := c.d
	d.enter("End")
	defer d.leave()
	if c.waited {
		up := d.recordEvent(d.lanes[laneUp].stream)
		d.keep(d.stream.Wait(up, 0))
		d.events.give(up)
	}
	d.events.give(c.begun)
	c.begun, c.waited = cu.Event{}, false
}

// pieces cuts a view into parts of at most room bytes, whole rows or parts of one, with elements of
// a size in bytes. It tells f at which byte of the dense copy each begins.
func (v view) pieces(size, room int, f func(p view, at int)) {
	if v.rows == 0 || v.cols == 0 {
		return
	}
	if v.form == floats && (v.rows == 1 || v.stride == v.cols) {
		v = view{at: v.at, rows: 1, cols: v.rows * v.cols, stride: v.rows * v.cols}
	}

	most := max(1, room/size) // elements
	each := max(1, most/v.cols)
	for i := 0; i < v.rows; i += each {
		for j := 0; j < v.cols; j += most {
			f(v.part(i, j, min(each, v.rows-i), min(most, v.cols-j)), size*(i*v.cols+j))
		}
	}
}
