package controlplane

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// loadAverage is how many threads want a core, over the last minute; 0: it is not known.
func loadAverage() (n float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		fmt.Sscan(string(text), &n) //nolint:errcheck // not known
	}
	return n
}

// processTime is what this process has taken of all cores.
func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
