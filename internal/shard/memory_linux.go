package shard

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// machineMemory returns the bytes of memory that this process may use: those of the machine, or of
// its control group where that has fewer; 0 if it cannot be read.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}

	total := int64(info.Totalram) * int64(info.Unit) //nolint:gosec,unconvert // differs by machine
	// The limits of control groups v2 and v1.
	for _, path := range []string{"/sys/fs/cgroup/memory.max",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
		if err == nil && limit > 0 { // "max" is no number
			total = min(total, limit)
		}
	}
	return total
}
