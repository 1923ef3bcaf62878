//go:build unix

package api

import "syscall"

// filesMax returns how many files this process may have open. At most 2 * connsMax are of interest,
// and assumed where the limit cannot be read.
func filesMax() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 2 * connsMax
	}
	return int(min(uint64(l.Cur), 2*connsMax)) //nolint:gosec,unconvert // signed on some systems
}
