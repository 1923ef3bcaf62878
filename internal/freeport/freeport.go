// Package freeport finds addresses for servers of this machine that stop and come back on the same
// one, in tests and in benchmarks.
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

// Addrs is Find for tests, which cannot go on without: it panics if there are not enough.
func Addrs(n int) []string {
	out, err := Find(n)
	if err != nil {
		panic(err)
	}
	return out
}

// Find returns n different addresses of the loopback interface, as host:port, on which nothing
// listens at present. Another process may still take one before the caller does.
func Find(n int) ([]string, error) {
	var out []string
	for range tries {
		if len(out) == n {
			return out, nil
		}

		addr := fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest)) //nolint:gosec // a guess
		if l, err := net.Listen("tcp", addr); err == nil {
			defer l.Close() // held until all are found, so that none is found twice
			out = append(out, addr)
		}
	}
	return nil, fmt.Errorf("only %d of %d free ports found between %d and %d", len(out), n, lowest,
		highest)
}
