//go:build !amd64

package cpu

// candidates returns the sets in assembly, best first: none for this architecture.
func candidates() []candidate { return nil }
