package cluster

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Clients of several coordinators have an address that is there when one of these is not. Operators
// have a load balancer or DNS for it; a benchmark must not need either.

// balancer passes connections on to the first of several addresses that takes them. It looks at
// nothing in them: coordinators send clients on to the one that leads by themselves.
type balancer struct {
	listener net.Listener
	to       []string

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	all    sync.WaitGroup
}

// dialTime is how long a process of this machine may take to accept a connection.
const dialTime = time.Second

// balance starts one.
func balance(to []string) (*balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen for clients: %w", err)
	}
	b := &balancer{listener: l, to: to, open: map[net.Conn]bool{}}
	b.all.Go(b.accept)
	return b, nil
}

func (b *balancer) addr() string { return b.listener.Addr().String() }

// accept takes connections until the listener is closed.
func (b *balancer) accept() {
	for {
		in, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.all.Go(func() { b.pass(in) })
	}
}

// A connection stays with the coordinator that took it, until either of them ends it. Streams of
// events thus break when their coordinator does, as they do behind any balancer.

// pass copies both ways until either side ends. Where nobody is there the connection is closed,
// which clients take as what it is, and try again.
func (b *balancer) pass(in net.Conn) {
	defer in.Close()
	for _, addr := range b.to {
		out, err := net.DialTimeout("tcp", addr, dialTime)
		if err != nil {
			continue
		}
		defer out.Close()
		if !b.keep(in, out) {
			return
		}
		defer b.forget(in, out)

		ended := make(chan struct{}, 2)
		for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
			b.all.Go(func() {
				_, _ = io.Copy(way[0], way[1]) // either side may go at any time
				ended <- struct{}{}
			})
		}
		<-ended
		return
	}
}

// keep notes open connections, for close; false: it was called before.
func (b *balancer) keep(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		b.open[c] = true
	}
	return !b.closed
}

func (b *balancer) forget(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		delete(b.open, c)
	}
}

// close ends all connections, and returns when all goroutines have ended.
func (b *balancer) close() error {
	err := b.listener.Close()
	b.mu.Lock()
	b.closed = true
	for c := range b.open {
		err = errors.Join(err, ignoreClosed(c.Close()))
	}
	b.mu.Unlock()
	b.all.Wait()
	return err
}

// ignoreClosed takes what has ended already for what it is.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
