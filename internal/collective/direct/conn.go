package direct

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one connection of a Link, after its handshake. It is used once: what is dialled after it
// was cut is another one.
type Conn struct {
	link  *Link
	nc    net.Conn
	index int // in the link

	dead     chan struct{} // closed when it is cut
	cutOnce  sync.Once
	goodbye  atomic.Bool  // this side has closed it on purpose
	inFlight atomic.Int64 // bytes that senders write or wait to write

	writing sync.Mutex  // held for one frame, or what is queued
	head    []byte      // of the frame being written
	tail    []byte      // likewise
	parts   net.Buffers // likewise
	wroteAt atomic.Int64

	queueing sync.Mutex
	queue    []byte      // small frames that wait for one to travel with
	spare    []byte      // memory of an earlier queue; guarded by writing
	soon     *time.Timer // flushes it
	life     *time.Timer // the next sign of life
}

const (
	// Small frames wait this long for one to travel with. It is far below what a window holds, so the
	// sender of what they acknowledge does not stall.
	queueTime = 300 * time.Microsecond
	// Beyond it they wait no more.
	queueBytes = 16 << 10
	// Beyond it the other side does not read, though it goes on sending.
	queueMax = 4 << 20

	readerBytes = 1 << 10   // read ahead: some small frames, and little of a payload
	pieceBytes  = 256 << 10 // of a payload, summed while it is in the CPU's cache
)

func newConn(l *Link, nc net.Conn, index int) *Conn {
	c := &Conn{link: l, nc: nc, index: index, dead: make(chan struct{})}
	c.wroteAt.Store(time.Now().UnixNano())
	background := func(f func()) func() {
		return func() { l.node.Go(f) }
	}
	c.soon = time.AfterFunc(time.Hour, background(c.flushQueue))
	c.life = time.AfterFunc(time.Hour, background(c.live))
	return c
}

// Alive reports whether the connection has not been cut.
func (c *Conn) Alive() bool {
	select {
	case <-c.dead:
		return false
	default:
		return true
	}
}

// Link returns the link that the connection is of.
func (c *Conn) Link() *Link { return c.link }

// cut ends the connection and tells the link's users, so that they send again what was on it.
func (c *Conn) cut(err error) {
	c.cutOnce.Do(func() {
		close(c.dead)
		c.soon.Stop()
		c.life.Stop()
		c.nc.Close()
		c.link.lost(c, err)
	})
}

// run reads until the connection is cut.
func (c *Conn) run() {
	c.life.Reset(c.link.node.opts.Timeout / 4)
	c.cut(c.read())
}

// send writes a frame, with what is queued before it, and returns once the kernel has taken it.
func (c *Conn) send(magic uint16, header, payload []byte, sum uint64) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.head = append(c.head[:0], c.takeQueue()...)

	pad := padding(len(c.head) + prefixBytes + len(header))
	c.head = appendHead(c.head, magic, header, len(payload), sum, pad)
	c.parts = append(c.parts[:0], c.head)
	if len(payload) > 0 {
		c.parts = append(c.parts, payload)
	}

	if padding(len(payload)) > 0 {
		c.tail = appendFill(c.tail[:0], len(payload))
		c.parts = append(c.parts, c.tail)
	}
	return c.write()
}

// write writes parts. The caller holds writing.
func (c *Conn) write() error {
	now, limit := time.Now(), c.link.node.opts.Timeout
	if c.goodbye.Load() {
		limit = leaveTime
	}
	if err := c.nc.SetWriteDeadline(now.Add(limit)); err != nil {
		return err
	}
	parts := c.parts // WriteTo consumes them
	_, err := parts.WriteTo(c.nc)
	clear(c.parts)
	c.wroteAt.Store(now.UnixNano())
	return err
}

// takeQueue returns what is queued, which counts until the next call. The caller holds writing.
func (c *Conn) takeQueue() []byte {
	c.queueing.Lock()
	defer c.queueing.Unlock()
	out := c.queue
	c.queue, c.spare = c.spare[:0], out
	return out
}

// Queue sends a small frame soon, together with others or with the next large one. It never blocks,
// so that readers can answer what they read. A frame for a connection that is cut is dropped.
func (c *Conn) Queue(header, payload []byte) {
	c.enqueue(frameMagic, header, payload, payloadSum(payload))
}

// QueueSealed is Queue for a frame without a checksum of its payload, since it is sealed.
func (c *Conn) QueueSealed(header, payload []byte) { c.enqueue(sealedMagic, header, payload, 0) }

func (c *Conn) enqueue(magic uint16, header, payload []byte, sum uint64) {
	c.queueing.Lock()
	before := len(c.queue)
	c.queue = append(appendHead(c.queue, magic, header, len(payload), sum, 0), payload...)
	after := len(c.queue)
	c.queueing.Unlock()

	if after > queueMax {
		c.cut(errors.New("it takes no answers"))
	}
	switch {
	case before == 0:
		c.soon.Reset(queueTime)
	case before < queueBytes && after >= queueBytes:
		c.soon.Reset(0)
	}
}

// live sends a sign of life if nothing else has told lately, and comes again.
func (c *Conn) live() {
	every := c.link.node.opts.Timeout / 4
	if time.Since(time.Unix(0, c.wroteAt.Load())) >= every {
		c.Queue(nil, nil)
	}
	if c.Alive() {
		c.life.Reset(every)
	}
}

// flushQueue writes what is queued and has found no frame to travel with.
func (c *Conn) flushQueue() {
	if err := c.flush(); err != nil {
		c.cut(err)
	}
}

// flush writes what is queued.
func (c *Conn) flush() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.head = append(c.head[:0], c.takeQueue()...)
	if len(c.head) == 0 {
		return nil
	}
	c.head = appendFill(c.head, len(c.head))
	c.parts = append(c.parts[:0], c.head)
	return c.write()
}

// leave ends the connection in order: what is queued goes first, then the end of the stream, and
// the other side's end is waited for, as far as it comes in time.
func (c *Conn) leave() {
	c.goodbye.Store(true)
	// A write that is under way ends by then, too.
	err := c.nc.SetWriteDeadline(time.Now().Add(leaveTime))
	if err == nil {
		err = c.flush()
	}

	half, ok := c.nc.(interface{ CloseWrite() error })
	if err == nil && ok && half.CloseWrite() == nil {
		t := time.NewTimer(leaveTime)
		defer t.Stop()
		select {
		case <-c.dead: // the reader has read the end
		case <-t.C:
		}
	}

	c.cut(net.ErrClosed)
}

// leaveTime is how long the end of a connection waits for the other side's.
const leaveTime = time.Second

// read takes one frame after the other, and returns why it cannot go on.
func (c *Conn) read() error {
	r := &reader{conn: c, buf: bufio.NewReaderSize(c.nc, readerBytes)}
	for {
		if err := r.frame(); err != nil {
			return err
		}
	}
}

// reader is the reading side of a connection.
type reader struct {
	conn    *Conn
	buf     *bufio.Reader
	until   time.Time // deadline that is set
	head    [prefixBytes + HeaderMax + align]byte
	discard []byte // where payloads go that nobody wants
}

// fill reads all of b. The deadline moves on with every byte that comes.
func (r *reader) fill(b []byte) error {
	for len(b) > 0 {
		if err := r.extend(); err != nil {
			return err
		}
		n, err := r.buf.Read(b)
		if b = b[n:]; err != nil {
			return err
		}
	}
	return nil
}

// extend moves the deadline on, though not for every call: that costs as much as reading little.
func (r *reader) extend() error {
	timeout := r.conn.link.node.opts.Timeout
	now := time.Now()
	if r.until.Sub(now) > timeout*7/8 {
		return nil
	}
	r.until = now.Add(timeout)
	return r.conn.nc.SetReadDeadline(r.until)
}

// frame reads one frame and gives it to the receiver that its header is for.
func (r *reader) frame() error {
	if err := r.fill(r.head[:prefixBytes]); err != nil {
		return err
	}
	p, err := parsePrefix(r.head[:])
	if err != nil {
		return r.damaged(err)
	}

	raw := r.head[:prefixBytes+p.header]
	if err := r.fill(r.head[prefixBytes : len(raw)+p.pad]); err != nil {
		return err
	}

	if err := p.verify(raw); err != nil {
		return r.damaged(err)
	}
	if p.header == 0 {
		return nil
	}

	s := r.conn.link.node.place(r.conn, raw[prefixBytes:], p.payload)
	sum, err := r.payload(s, p.payload, p.magic == frameMagic)
	if err == nil && sum != p.sum {
		err = r.damaged(errPayloadSum)
	}

	if s != nil {
		if wrong := s.Done(err == nil); err == nil && wrong != nil {
			err = r.damaged(wrong)
		}
	}
	r.conn.link.node.received.Add(uint64(p.payload))
	return err
}

// payload reads n bytes to where the sink wants them, and sums them while they are in the cache,
// if they are to be.
func (r *reader) payload(s Sink, n int, summed bool) (sum uint64, err error) {
	var to []byte
	if s != nil {
		to = s.Buffer()
		if len(to) != n {
			panic(fmt.Sprintf("direct: room for %d bytes of %d", len(to), n))
		}
	}

	for at := 0; at < n; {
		size := min(n-at, pieceBytes)
		piece := r.waste(size)
		if s != nil {
			piece = to[at : at+size]
		}

		// Whole pieces are summed as soon as they are here.
		for got := 0; got < size; {
			if err := r.extend(); err != nil {
				return 0, err
			}

			k, err := r.buf.Read(piece[got:])
			if err != nil {
				return 0, err
			}

			from := got / sumBytes * sumBytes
			got += k
			to := got / sumBytes * sumBytes
			if got == size {
				to = size
			}
			if summed {
				sum = payloadSumFrom(sum, piece[from:to])
			}
		}
		at += size
	}
	return sum, nil
}

// waste returns room for what nobody wants.
func (r *reader) waste(n int) []byte {
	if len(r.discard) < n {
		r.discard = make([]byte, n)
	}
	return r.discard[:n]
}

// damaged counts a frame that cannot be right.
func (r *reader) damaged(err error) error {
	r.conn.link.node.corrupt.Add(1)
	return err
}
