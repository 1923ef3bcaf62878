//go:build cuda

package cuda

import (
	"fmt"
	"slices"
	"sync"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
)

// parcel is a matrix on its way from one device of this process to another: packed in memory of the
// giver, from where the taker copies it. The post's mutex guards it once it is there.
type parcel struct {
	from   *Device // nil once that is closed
	mem    *memory
	bytes  int
	packed cu.Event // of from's marks

	to     *Device  // nil until it is taken
	copied cu.Event // of to's marks
}

// office is where the devices of a process leave parcels for each other.
type office struct {
	mu      sync.Mutex
	last    compute.Ticket
	waiting map[compute.Ticket]*parcel // not yet taken
	devices []*Device
}

var post = office{waiting: map[compute.Ticket]*parcel{}}

// join lets a new device and the others copy from each other without the host, where the hardware
// can. Where it cannot, or has too many peers, the driver takes the way through the host by itself.
func (d *Device) join(gpu cu.Device) {
	post.mu.Lock()
	defer post.mu.Unlock()
	for _, o := range post.devices {
		other, err := cu.GetDevice(o.ordinal)
		if err != nil || o.ordinal == d.ordinal {
			continue
		}
		for _, way := range []struct {
			of, to       *Device
			gpu, reaches cu.Device
		}{{d, o, gpu, other}, {o, d, other, gpu}} {
			if can, err := way.gpu.CanAccessPeer(way.reaches); err != nil || can == 0 {
				continue
			}
			if cu.SetCurrentContext(way.of.ctx) == nil {
				_ = way.to.ctx.EnablePeerAccess(0)
			}
		}
	}
	d.keep(cu.SetCurrentContext(d.ctx))
	post.devices = append(post.devices, d)
}

// Give packs src on the GPU and returns a ticket for another device's Take.
func (c *copies) Give(src compute.Mat, t compute.DType) (compute.Ticket, error) {
	from, d := viewOf("Give", "src", src), c.d
	n := from.rows * from.cols
	d.enter("Give")
	defer d.leave()
	m, err := d.take(int64(max(1, sizeOf(t)*n)))
	if err != nil {
		return 0, err
	}
	if t == compute.BF16 {
		d.elements(packBF16, from, arg(m.at), ptr(from), num(from.stride), num(from.rows),
			num(from.cols))
	} else {
		d.elements(copyRows, from, arg(m.at), num(from.cols), ptr(from), num(from.stride),
			num(from.rows), num(from.cols))
	}
	p := &parcel{from: d, mem: m, bytes: sizeOf(t) * n, packed: d.mark(d.stream)}
	d.given[0] = append(d.given[0], p)
	return post.leave(p), d.outcome()
}

func (o *office) leave(p *parcel) compute.Ticket {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	o.waiting[o.last] = p
	return o.last
}

// Take copies what a ticket stands for to dst while what was issued since BeginCopies runs.
func (c *copies) Take(dst compute.Mat, ticket compute.Ticket, t compute.DType) error {
	to, d := viewOf("Take", "dst", dst), c.d
	d.enter("Take")
	defer d.leave()
	if d.failure() != nil {
		return d.failure()
	}
	return d.receive(c.uploads(), to, ticket, t)
}

// receive copies what a ticket stands for to a view, on the lane up.
func (d *Device) receive(l *lane, to view, ticket compute.Ticket, t compute.DType) error {
	post.mu.Lock()
	defer post.mu.Unlock() // the giver stays open
	p := post.waiting[ticket]
	if p == nil {
		return fmt.Errorf("what ticket %d stands for was taken before or has expired", ticket)
	}
	if size := sizeOf(t); p.bytes != size*to.rows*to.cols {
		return fmt.Errorf("sent %d bytes, %d expected", p.bytes, size*to.rows*to.cols)
	}
	delete(post.waiting, ticket)
	d.keep(l.stream.Wait(p.packed, 0))
	to.pieces(sizeOf(t), d.slotSize, func(v view, at int) {
		d.pieceOver(l, v, p.from.ctx, p.mem.at+cu.DevicePtr(at), t)
	})
	p.to, p.copied = d, d.mark(l.stream)
	d.taken = append(d.taken, p)
	return d.failure()
}

// pieceOver issues the copy of memory of another context to a view that fits a slot.
func (d *Device) pieceOver(l *lane, to view, ctx cu.CUContext, from cu.DevicePtr, t compute.DType) {
	if d.failure() != nil {
		return
	}
	s, n := l.slot(), to.rows*to.cols
	d.keep(cu.MemcpyPeerAsync(s.raw, d.ctx, from, ctx, int64(sizeOf(t)*n), l.stream))
	blocks := ceil(n, kernels[copyRows].threads)
	if t == compute.BF16 {
		d.launchOn(l.stream, &l.params, unpackBF16, blocks, 1,
			[]value{ptr(to), num(to.stride), arg(s.raw), num(to.rows), num(to.cols)})
		return
	}
	d.launchOn(l.stream, &l.params, copyRows, blocks, 1, []value{ptr(to), num(to.stride),
		arg(s.raw), num(to.cols), num(to.rows), num(to.cols)})
}

// sweep gives back what has arrived here, and what nobody has fetched in time: its takers have
// failed.
func (d *Device) sweep() {
	post.mu.Lock()
	defer post.mu.Unlock()
	d.taken = slices.DeleteFunc(d.taken, func(p *parcel) bool {
		if p.copied.Query() != nil {
			return false
		}
		p.arrived()
		return true
	})
	post.drop(d.given[1], d)
	d.given[0], d.given[1] = d.given[1][:0], d.given[0]
}

// arrived gives back what a parcel that was copied has used. The caller holds the post's mutex.
func (p *parcel) arrived() {
	p.to.marks.give(p.copied)
	p.copied = cu.Event{}
	if p.from != nil {
		p.from.marks.give(p.packed)
		p.from.memory.lose(p.mem)
	}
}

// drop takes parcels of a device back that nobody has taken. The caller holds mu.
func (o *office) drop(parcels []*parcel, d *Device) {
	for number, p := range o.waiting {
		if slices.Contains(parcels, p) {
			delete(o.waiting, number)
			d.marks.give(p.packed)
			d.memory.lose(p.mem)
		}
	}
}

// part has a device that closes leave the others: what it has given is copied, or gone.
func (d *Device) part() {
	post.mu.Lock()
	defer post.mu.Unlock()
	post.devices = slices.DeleteFunc(post.devices, func(o *Device) bool { return o == d })
	for _, parcels := range d.given {
		post.drop(parcels, d)
	}
	if up := d.lanes[laneUp].stream; up != cu.NoStream {
		d.keep(up.Synchronize())
	}
	for _, p := range d.taken {
		p.arrived()
	}
	d.taken = nil
	for _, o := range post.devices {
		d.leaveBehind(o)
	}
	d.keep(cu.SetCurrentContext(d.ctx))
}

// leaveBehind waits until another device has copied what it took of d.
func (d *Device) leaveBehind(o *Device) {
	for _, p := range o.taken {
		if p.from != d {
			continue
		}
		d.keep(cu.SetCurrentContext(o.ctx))
		d.keep(p.copied.Synchronize())
		p.from = nil
	}
}
