package api

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
)

// gate bounds the connections of a listener, so that their files never run out. At the limit, a
// connection that is idle makes room; else a new one is a spare: it is for probes, and refused
// anything else. Of too many spare ones the oldest is closed, so that a probe is always heard.
type gate struct {
	net.Listener
	// How many connections may be open, and how many spares there may be besides; both at least 1.
	most, spare int

	// mu guards what follows: net/http calls Accept, changed and Close from many goroutines. It is not
	// held while a connection is closed, which takes it again.
	mu sync.Mutex
	// Connections that count, without the spares.
	open int
	// Those between two requests, the longest idle first.
	idle []*gateConn
	// The oldest first.
	spares []*gateConn
}

// gateConn is a connection that a gate counts until it is closed.
type gateConn struct {
	net.Conn
	g *gate
	// For a probe alone; it does not count as open.
	spare bool
	// net/http may close a connection twice; it is counted off once.
	once sync.Once
}

// newGate bounds l to so many connections, and to spare ones beyond them.
func newGate(l net.Listener, most, spare int) *gate {
	return &gate{Listener: l, most: max(most, 1), spare: max(spare, 1)}
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	nc, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c, old := g.admit(nc)
	if old != nil {
		old.Close()
	}
	return c, nil
}

// admit counts a new connection; old is the one that the caller has to close for it, if any.
func (g *gate) admit(nc net.Conn) (c, old *gateConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c = &gateConn{Conn: nc, g: g}

	// An idle connection can go without harm: HTTP clients open a new one for their next request.
	switch {
	case g.open < g.most:
		g.open++
	case len(g.idle) > 0:
		old, g.idle = g.idle[0], g.idle[1:]
		g.open++ // Close takes the old one off
	default:
		c.spare = true
		if g.spares = append(g.spares, c); len(g.spares) > g.spare {
			old = g.spares[0]
			g.spares = g.spares[1:]
		}
	}

	return c, old
}

// Close implements net.Conn.
func (c *gateConn) Close() error {
	c.once.Do(func() {
		c.g.mu.Lock()
		defer c.g.mu.Unlock()
		if c.spare {
			c.g.spares = without(c.g.spares, c)
		} else {
			c.g.open--
		}
		c.g.idle = without(c.g.idle, c)
	})
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer before it closes, as it does with a *net.TCPConn.
func (c *gateConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// changed is http.Server's ConnState: it keeps the list of idle connections. A spare is never on
// it: its first answer closes it.
func (g *gate) changed(nc net.Conn, state http.ConnState) {
	c, ok := counted(nc)
	if !ok || c.spare {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch state {
	case http.StateIdle:
		g.idle = append(g.idle, c)
	case http.StateActive, http.StateClosed:
		g.idle = without(g.idle, c)
	}
}

// counted returns the connection that a gate counts, from below TLS where there is that.
func counted(nc net.Conn) (*gateConn, bool) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, ok := nc.(*gateConn)
	return c, ok
}

// without takes c out of a list, if it is in there.
func without(all []*gateConn, c *gateConn) []*gateConn {
	if i := slices.Index(all, c); i >= 0 {
		return slices.Delete(all, i, i+1)
	}
	return all
}

// spareKey marks the context of a spare connection's requests.
type spareKey struct{}

// markSpare tells requests of a spare connection what they are. It is http.Server's ConnContext,
// called once for each connection; wrap looks for the mark.
func markSpare(ctx context.Context, nc net.Conn) context.Context {
	if c, ok := counted(nc); ok && c.spare {
		return context.WithValue(ctx, spareKey{}, true)
	}
	return ctx
}
