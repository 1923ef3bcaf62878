//go:build !unix

package api

// filesMax returns how many files this process may have open.
func filesMax() int { return 2 * connsMax }
