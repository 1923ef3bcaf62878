// Package freeport finds addresses for tests whose servers stop and come back on the same one. Only
// tests import it.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken from below the range that systems choose from for outgoing connections and for
// port 0 (32768 and up on Linux). Otherwise a connection could occupy a server's port while that
// server is stopped.
const (
	lowest  = 20000
	highest = 32000
	tries   = 1000
)

// Addrs returns n different addresses of the loopback interface, as host:port, on which nothing
// listens at present. Another process may still take one before the test does. Addrs panics if it
// does not find enough.
func Addrs(n int) []string {
	var out []string
	for range tries {
		if len(out) == n {
			return out
		}

		addr := fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest)) //nolint:gosec // a guess
		if l, err := net.Listen("tcp", addr); err == nil {
			defer l.Close() // held until all are found, so that none is found twice
			out = append(out, addr)
		}
	}
	panic(fmt.Sprintf("freeport: only %d of %d free addresses found in %d tries", len(out), n, tries))
}
