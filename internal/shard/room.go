package shard

import "runtime"

// usable is the part of a machine's memory that a process takes at most, in percent: the kernel,
// files and the collector need some.
const usable = 90

// room returns the bytes that a clip may take on a shard: what its machine's memory leaves of what
// the process has in use now, shared with others of the process. Weights that are mapped from files
// do not count: the kernel lets go of them. 0: not known.
func room(sharers int) int64 {
	total := machineMemory()
	if total == 0 {
		return 0
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	left := total/100*usable - int64(m.Sys-m.HeapIdle) //nolint:gosec // far below
	return max(1, left/int64(max(1, sharers)))
}
