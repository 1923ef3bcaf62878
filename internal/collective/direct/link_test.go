package direct_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/direct"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/natsd"
)

// pair is two ranks of an attempt, each in a process of its own.
type pair struct {
	ps    [2]*process
	ranks [2]collective.Transport
	next  uint32 // tag
}

var nodes = []string{"x", "y"}

func newPair(t testing.TB, s *natsd.Server, d direct.Options, o nats.Options) *pair {
	t.Helper()
	p := newProcesses(t, s, d, o)
	p.join(t)
	return p
}

func newProcesses(t testing.TB, s *natsd.Server, d direct.Options, o nats.Options) *pair {
	t.Helper()
	p := &pair{}
	for r, n := range nodes {
		p.ps[r] = newProcess(t, s, n, &d, o)
	}
	return p
}

func (p *pair) join(t testing.TB) {
	t.Helper()
	p.joinWith(t, collective.Key{})
}

func (p *pair) joinWith(t testing.TB, key collective.Key) {
	t.Helper()
	for r := range nodes {
		tr, err := p.ps[r].endpoint.Join("j", 1, r, nodes, key)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tr.Close() })
		p.ranks[r] = tr
	}
}

// exchange moves n bytes both ways, and wants them to be the same.
func (p *pair) exchange(t testing.TB, n int) {
	t.Helper()
	p.next++
	tag := collective.Tag{Op: p.next}
	var wg sync.WaitGroup
	for r, tr := range p.ranks {
		data := bytes.Repeat([]byte{byte(p.next), byte(r), 3, 4, 5}, n/5+1)[:n]
		wg.Go(func() {
			if err := tr.Send(t.Context(), 1-r, tag, bytes.Clone(data)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			got, err := p.ranks[1-r].Recv(t.Context(), r, tag)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("rank %d sent %d bytes, got %d others: %v", r, n, len(got), err)
			}
			collective.Release(got) // later messages are read into it
		})
	}
	wg.Wait()
}

// goDirect exchanges until the bytes of both ranks go directly.
func (p *pair) goDirect(t testing.TB) {
	t.Helper()
	for i := 0; i < 10000; i++ {
		var before [2]uint64
		for r, tr := range p.ranks {
			before[r] = tr.Stats().BytesDirect
		}
		p.exchange(t, 1000)
		if p.ranks[0].Stats().BytesDirect > before[0] &&
			p.ranks[1].Stats().BytesDirect > before[1] {
			return
		}
	}
	t.Fatal("nothing goes directly")
}

var fast = direct.Options{Connections: 2, RetryMin: time.Millisecond,
	RetryMax: 5 * time.Millisecond}

// TestStrangers lets others connect: such as say nothing, speak something else, or know no key.
// They are turned away, no more than some are kept, and a pair still gets through.
func TestStrangers(t *testing.T) {
	p := newProcesses(t, startServer(t), fast, nats.Options{})
	hello := append([]byte("LTDC\x02\x00\x00\x00"), make([]byte, 48)...)
	var silent []net.Conn
	for i := range 400 {
		nc, err := net.Dial("tcp", p.ps[i%2].node.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		switch i % 4 {
		case 0:
			_, _ = nc.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			wantEnd(t, nc)
		case 1:
			_, _ = nc.Write(hello)
			wantEnd(t, nc)
		default:
			silent = append(silent, nc)
		}
	}
	p.join(t)
	p.goDirect(t)
	for _, nc := range silent[:10] { // the oldest had to go for the later ones
		wantEnd(t, nc)
	}
}

// wantEnd wants the other side to have ended a connection without a word.
func wantEnd(t *testing.T, nc net.Conn) {
	t.Helper()
	if err := nc.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := nc.Read(make([]byte, 1))
	if e, ok := err.(net.Error); n != 0 || ok && e.Timeout() {
		t.Errorf("a stranger reads %d bytes, %v", n, err)
	}
}

// cutter remembers connections, to end or to stop them.
type cutter struct {
	mu    sync.Mutex
	conns []*gate
}

// gate is a connection that may swallow what is written to it.
type gate struct {
	net.Conn
	mu   sync.Mutex
	shut bool
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return len(p), nil
	}
	return g.Conn.Write(p)
}

func (c *cutter) wrap(nc net.Conn) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &gate{Conn: nc}
	c.conns = append(c.conns, g)
	return g
}

func (c *cutter) each(f func(*gate)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.conns {
		f(g)
	}
}

// TestFlappingLink ends all connections again and again under messages of several chunks.
func TestFlappingLink(t *testing.T) {
	var c cutter
	d := fast
	d.Wrap = c.wrap
	o := nats.Options{ChunkBytes: 16 << 10}
	p := newPair(t, startServer(t), d, o)
	for range 10 {
		p.goDirect(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.each(func(g *gate) { g.Close() })
		}()
		p.exchange(t, 1<<20)
		<-done
	}
	p.goDirect(t)
	if p.ps[0].node.Stats().Reconnects == 0 {
		t.Error("nothing was connected again")
	}
}

// forger is a connection through somebody who changes every third chunk, and knows how frames are
// made: checksums do not tell.
type forger struct {
	net.Conn
	chunks *atomic.Int64
}

func (f forger) Write(p []byte) (int, error) {
	if len(p) >= 16<<10 && f.chunks.Add(1)%3 == 0 {
		p = bytes.Clone(p)
		p[len(p)/2] ^= 1
	}
	return f.Conn.Write(p)
}

// TestForgedChunks changes sealed chunks on their way: what comes is right, from other tries, and
// each is counted.
func TestForgedChunks(t *testing.T) {
	var chunks atomic.Int64
	d := fast
	d.Wrap = func(nc net.Conn) net.Conn { return forger{nc, &chunks} }
	p := newProcesses(t, startServer(t), d, nats.Options{ChunkBytes: 16 << 10})
	p.joinWith(t, keyOf(1))

	// What is tried again may go over NATS, and on a loaded machine much of it does.
	counted := func() uint64 { return p.ranks[0].Stats().Forged + p.ranks[1].Stats().Forged }
	for range 1000 {
		if chunks.Load() >= 30 && counted() > 0 {
			return
		}
		p.goDirect(t)
		p.exchange(t, 200<<10)
	}
	t.Errorf("of %d chunks, %d are counted as forged", chunks.Load(), counted())
}

// TestBlackHole lets connections swallow what is written, as a router that is gone does: after
// their timeout they are cut, and what was on them goes another way.
func TestBlackHole(t *testing.T) {
	var c cutter
	d := fast
	d.Wrap, d.Timeout = c.wrap, 100*time.Millisecond
	p := newPair(t, startServer(t), d, nats.Options{ChunkBytes: 16 << 10})
	p.goDirect(t)
	c.each(func(g *gate) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.shut = true
	})
	p.exchange(t, 1<<20)
	p.goDirect(t)
}

// lines is a writer that hands on each line of a log.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestUnreachable offers an address where nobody is: the pair stays on NATS, and both sides say
// why, the one that dials and the one that waits.
func TestUnreachable(t *testing.T) {
	d := fast
	d.Advertise, d.HandshakeTimeout = "127.0.0.1:1", 500*time.Millisecond
	logged := make(lines, 2)
	d.Log = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p := newPair(t, startServer(t), d, nats.Options{})
	p.exchange(t, 1<<20)
	if s := p.ranks[0].Stats(); s.BytesDirect != 0 || s.BytesSent != 1<<20 {
		t.Errorf("%+v", s)
	}

	both := <-logged + <-logged
	waits, late := "that process has not connected to 127.0.0.1:1", "no answer yet"
	if strings.Count(both, waits) != 1 || strings.Count(both, "error=") != 2 ||
		!strings.Contains(both, "refused") && !strings.Contains(both, late) {
		t.Errorf("the log does not say why:\n%s", both)
	}
}

// TestLinkEnds wants no connection to outlive the transports that use it.
func TestLinkEnds(t *testing.T) {
	p := newPair(t, startServer(t), fast, nats.Options{})
	p.goDirect(t)
	if n := p.ps[0].node.Stats(); n.Connections == 0 || n.BytesSent == 0 || n.BytesReceived == 0 {
		t.Errorf("%+v", n)
	}
	p.ranks[0].Close()
	p.ranks[1].Close()
	for r, ps := range p.ps {
		if n := ps.node.Stats().Connections; n != 0 {
			t.Errorf("process %d: %d connections are left", r, n)
		}
	}
}

func TestListenRefuses(t *testing.T) {
	for _, o := range []direct.Options{{Listen: "nowhere"}, {Connections: 17}, {Connections: -1},
		{Advertise: string(make([]byte, 256))}} {
		if n, err := direct.Listen(o); err == nil {
			n.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}
