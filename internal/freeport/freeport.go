// Package freeport finds addresses for tests whose servers have to come back on the same one.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports below those that systems give to whoever asks for any (Linux: from 32768 on), so that no
// connection takes one while its server is away.
const (
	lowest  = 20000
	highest = 32000
	tries   = 1000
)

// Addrs returns n addresses of the loopback interface, host:port, that are free when it looks. It
// panics where there are no more.
func Addrs(n int) []string {
	var out []string
	for range tries {
		if len(out) == n {
			return out
		}
		addr := fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest)) //nolint:gosec // a guess
		if l, err := net.Listen("tcp", addr); err == nil {
			defer l.Close() // until there are n, which are different ones thus
			out = append(out, addr)
		}
	}
	panic(fmt.Sprintf("freeport: %d of %d addresses after %d tries", len(out), n, tries))
}
