package transporttest

import (
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
)

// connHarm is how many frames go with a connection, roughly.
const connHarm = 20

// errCut is what a write says whose connection a Fault has cut.
var errCut = errors.New("the connection was cut")

// WrapConn returns a function that harms what is written to connections, for transports over TCP:
// where a frame would be lost, the connection is cut in the middle of the bytes. Doubled and
// corrupted bytes go out as they are, and delayed ones with the next. Any of these costs the
// connection and all that is on it, so the rates are divided by connHarm. It may be called from
// several goroutines.
func (f Fault) WrapConn() func(net.Conn) net.Conn {
	for _, rate := range []*float64{&f.Drop, &f.Duplicate, &f.Corrupt, &f.Delay} {
		*rate /= connHarm
	}
	b := &breaker{Fault: f, rng: rand.New(rand.NewPCG(f.Seed, 2))}
	return func(c net.Conn) net.Conn { return &faultyConn{Conn: c, b: b} }
}

// faultyConn is a connection with a fault.
type faultyConn struct {
	net.Conn
	b    *breaker
	mu   sync.Mutex // held for a write
	held []byte     // bytes that are delayed
}

// Write implements net.Conn.
func (c *faultyConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out, cut := c.harm(p)
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	if cut {
		c.Close()
		return 0, errCut
	}
	return len(p), nil
}

// harm draws what becomes of written bytes, and whether the connection ends with them.
func (c *faultyConn) harm(p []byte) (out []byte, cut bool) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	out = append(c.held, p...)
	c.held = nil

	x := c.b.rng.Float64()
	for i, rate := range []float64{c.b.Drop, c.b.Duplicate, c.b.Corrupt, c.b.Delay} {
		if x -= rate; x >= 0 || len(p) == 0 {
			continue
		}
		switch i {
		case 0:
			return out[:c.b.rng.IntN(len(out))], true
		case 1:
			return append(out, p...), false
		case 2:
			return c.b.corrupt(out), false
		}
		c.held = slices.Clone(out)
		return nil, false
	}

	return out, false
}
