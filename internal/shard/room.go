package shard

// usable is the part of a machine's memory that a process takes at most, in percent: the kernel,
// files and the collector need some.
const usable = 90

// room returns the bytes that a clip may take on a shard: what its machine's memory leaves of the
// process as it is now, shared with others of the process. 0: not known.
func room(sharers int) int64 {
	total := machineMemory()
	if total == 0 {
		return 0
	}
	left := total/100*usable - int64(rss()) //nolint:gosec // far below
	return max(1, left/int64(max(1, sharers)))
}
