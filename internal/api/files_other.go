//go:build !unix

package api

// filesMax returns how many files this process may have open. Windows has no such limit for
// sockets, so the gate's own decides.
func filesMax() int { return 2 * connsMax }
