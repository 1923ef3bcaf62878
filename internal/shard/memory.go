package shard

import "runtime"

// usablePercent is the part of a machine's memory that a process takes at most: the kernel, files
// and the garbage collector need some.
const usablePercent = 90

// memoryLeft returns the bytes that a clip may take on a shard: what the machine's memory leaves
// beyond what the process has in use now, divided among the shards that share it. Weights that are
// mapped from files do not count as in use, since the kernel can drop their pages. 0: not known.
func memoryLeft(sharers int) int64 {
	total := machineMemory()
	if total == 0 {
		return 0
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	left := total/100*usablePercent - int64(m.Sys-m.HeapIdle) //nolint:gosec // far below
	return max(1, left/int64(max(1, sharers)))
}
