package main

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxy carries TCP to a backend, until it is told to lose it or to be slow.
type proxy struct {
	l       net.Listener
	backend string

	mu    sync.Mutex
	lost  bool          // nothing passes, and nobody is told
	delay time.Duration // of every piece that passes
	open  map[net.Conn]bool
}

func newProxy(t *testing.T, backend string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, backend: backend, open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); p.sever() })
	go p.serve()
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) serve() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.DialTimeout("tcp", p.backend, time.Second)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.open[in], p.open[out] = true, true
		p.mu.Unlock()
		go p.copy(in, out)
		go p.copy(out, in)
	}
}

// copy passes pieces on until either side ends.
func (p *proxy) copy(to, from net.Conn) {
	defer p.drop(to, from)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		lost, delay := p.lost, p.delay
		p.mu.Unlock()
		time.Sleep(delay)
		if lost {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.open, c)
	}
}

// cut makes everything vanish that passes, for a while; then the connections break, as what was lost
// cannot be made up for.
func (p *proxy) cut(d time.Duration) {
	p.set(true, 0)
	time.AfterFunc(d, func() {
		p.set(false, 0)
		p.sever()
	})
}

// slow delays everything for a while.
func (p *proxy) slow(delay, d time.Duration) {
	p.set(false, delay)
	time.AfterFunc(d, func() { p.set(false, 0) })
}

func (p *proxy) set(lost bool, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost, p.delay = lost, delay
}

// sever breaks every connection.
func (p *proxy) sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}
