//go:build !linux

package shard

import "runtime"

// rss returns what the Go runtime holds of the system's memory, in bytes.
func rss() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}
