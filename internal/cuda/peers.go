//go:build cuda

package cuda

import (
	"fmt"
	"slices"
	"sync"

	"github.com/longtake/longtake/internal/compute"
	"gorgonia.org/cu"
)

// transfer is a matrix on its way from one device of this process to another. The giver packs it
// into memory of its own, from where the taker copies it. Once it is offered, the mutex of peers
// guards it.
type transfer struct {
	from   *Device // nil once the giver is closed
	mem    *memory // of from
	bytes  int
	packed cu.Event // of from: mem is filled

	to     *Device  // nil until it is taken
	copied cu.Event // of to: mem is not needed any more
}

// peerTable is what the devices of a process know of each other.
type peerTable struct {
	mu      sync.Mutex
	last    compute.Ticket
	waiting map[compute.Ticket]*transfer // offered and not yet taken
	devices []*Device                    // that are open
}

// peers is of the whole process: ranks of one job on several GPUs have nothing else in common.
var peers = peerTable{waiting: map[compute.Ticket]*transfer{}}

// joinPeers lets a new device and the others copy from each other directly, where the hardware can.
// Where it cannot, or has too many peers, the driver goes through the host by itself, so errors of
// EnablePeerAccess do not matter.
func (d *Device) joinPeers(gpu cu.Device) {
	peers.mu.Lock()
	defer peers.mu.Unlock()
	for _, o := range peers.devices {
		other, err := cu.GetDevice(o.ordinal)
		if err != nil || o.ordinal == d.ordinal {
			continue
		}

		// Access is one-way: each context has to be let into the other.
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
	peers.devices = append(peers.devices, d)
}

// Give packs src on the GPU and returns a ticket for another device's Take.
func (c *copies) Give(src compute.Mat, t compute.DType) (compute.Ticket, error) {
	from, d := anyView("Give", "src", src), c.d
	n := from.rows * from.cols
	travels("Give", from, t)
	d.enter("Give")
	defer d.leave()
	m, err := d.take(int64(max(1, sizeOf(t)*n)))
	if err != nil {
		return 0, err
	}

	if t == compute.BF16 {
		d.elements(packBF16, from, packParams(m.at, from)...)
	} else {
		d.elements(copyRows, from, copyParams(view{at: m.at, stride: from.cols}, from)...)
	}

	p := &transfer{from: d, mem: m, bytes: sizeOf(t) * n, packed: d.recordEvent(d.stream)}
	d.offered[0] = append(d.offered[0], p)
	return peers.offer(p), d.outcome()
}

// offer makes a transfer available to the other devices, and returns its ticket.
func (o *peerTable) offer(p *transfer) compute.Ticket {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	o.waiting[o.last] = p
	return o.last
}

// Take copies what a ticket stands for to dst while what was issued since BeginCopies runs.
func (c *copies) Take(dst compute.Mat, ticket compute.Ticket, t compute.DType) error {
	to, d := anyView("Take", "dst", dst), c.d
	travels("Take", to, t)
	d.enter("Take")
	defer d.leave()
	if d.failure() != nil {
		return d.failure()
	}
	return d.receive(c.uploads(), to, ticket, t)
}

// receive copies what a ticket stands for to a view, on the lane of uploads. A transfer that does
// not fit stays, for its giver to withdraw.
func (d *Device) receive(l *lane, to view, ticket compute.Ticket, t compute.DType) error {
	peers.mu.Lock()
	defer peers.mu.Unlock() // the giver stays open
	p := peers.waiting[ticket]
	if p == nil {
		return fmt.Errorf("what ticket %d stands for was taken before or has expired", ticket)
	}
	if size := sizeOf(t); p.bytes != size*to.rows*to.cols {
		return fmt.Errorf("sent %d bytes, %d expected", p.bytes, size*to.rows*to.cols)
	}

	delete(peers.waiting, ticket)
	d.keep(l.stream.Wait(p.packed, 0))
	to.pieces(sizeOf(t), d.slotSize, func(v view, at int) {
		d.pieceOver(l, v, p.from.ctx, p.mem.at+cu.DevicePtr(at), t)
	})
	p.to, p.copied = d, d.recordEvent(l.stream)
	d.taken = append(d.taken, p)
	return d.failure()
}

// pieceOver issues the copy of memory of another device's context to a view that fits a slot: into
// the slot first, since only a copy between contexts is sure to work, then by a kernel to where it
// belongs.
func (d *Device) pieceOver(l *lane, to view, ctx cu.CUContext, from cu.DevicePtr, t compute.DType) {
	if d.failure() != nil {
		return
	}
	s, n := l.slot(), to.rows*to.cols
	d.keep(cu.MemcpyPeerAsync(s.raw, d.ctx, from, ctx, int64(sizeOf(t)*n), l.stream))
	blocks := ceil(n, kernels[copyRows].threads)
	if t == compute.BF16 {
		d.launchOn(l.stream, &l.params, unpackBF16, blocks, 1, unpackParams(to, s.raw))
		return
	}
	d.launchOn(l.stream, &l.params, copyRows, blocks, 1,
		copyParams(to, view{at: s.raw, rows: to.rows, cols: to.cols, stride: to.cols}))
}

// releaseTransfers frees the memory of transfers that have arrived here, and withdraws what nobody
// has taken in time: its takers have failed.
func (d *Device) releaseTransfers() {
	peers.mu.Lock()
	defer peers.mu.Unlock()
	d.taken = slices.DeleteFunc(d.taken, func(p *transfer) bool {
		if p.copied.Query() != nil {
			return false
		}
		p.release()
		return true
	})

	// What was offered between the latest two calls gets one more set of copies to be taken in.
	peers.withdraw(d.offered[1], d)
	d.offered[0], d.offered[1] = d.offered[1][:0], d.offered[0]
}

// release frees what a transfer that was copied has used. The caller holds the mutex of peers.
func (p *transfer) release() {
	p.to.events.give(p.copied)
	p.copied = cu.Event{}
	if p.from != nil {
		p.from.events.give(p.packed)
		p.from.memory.freeLater(p.mem)
	}
}

// withdraw takes back those of a device's transfers that nobody has taken. The caller holds mu.
func (o *peerTable) withdraw(transfers []*transfer, d *Device) {
	for number, p := range o.waiting {
		if slices.Contains(transfers, p) {
			delete(o.waiting, number)
			d.events.give(p.packed)
			d.memory.freeLater(p.mem)
		}
	}
}

// leavePeers is joinPeers undone, for Close. Afterwards no other device refers to d or to memory of
// d: what it gave is copied or withdrawn, what it took is released.
func (d *Device) leavePeers() {
	peers.mu.Lock()
	defer peers.mu.Unlock()
	peers.devices = slices.DeleteFunc(peers.devices, func(o *Device) bool { return o == d })
	for _, transfers := range d.offered {
		peers.withdraw(transfers, d)
	}

	// Copies from others end before their memory is released.
	if up := d.lanes[laneUp].stream; up != cu.NoStream {
		d.keep(up.Synchronize())
	}
	for _, p := range d.taken {
		p.release()
	}
	d.taken = nil

	for _, o := range peers.devices {
		d.awaitTaker(o)
	}
	d.keep(cu.SetCurrentContext(d.ctx))
}

// awaitTaker waits until another device has copied what it took of d.
func (d *Device) awaitTaker(o *Device) {
	for _, p := range o.taken {
		if p.from != d {
			continue
		}
		d.keep(cu.SetCurrentContext(o.ctx))
		d.keep(p.copied.Synchronize())
		p.from = nil
	}
}
