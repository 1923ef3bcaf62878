package daemon

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestTuneRuntimeKeepsTwoThreads on a machine of one core, where a clip would have other bytes.
func TestTuneRuntimeKeepsTwoThreads(t *testing.T) {
	procs, percent := runtime.GOMAXPROCS(1), debug.SetGCPercent(100)
	defer func() {
		runtime.GOMAXPROCS(procs)
		debug.SetGCPercent(percent)
	}()

	TuneRuntime()
	if n := runtime.GOMAXPROCS(0); n != 2 {
		t.Errorf("%d threads run Go code, not 2", n)
	}
	if n := debug.SetGCPercent(100); n < 5 || n > 100 {
		t.Errorf("GOGC is %d", n)
	}
}
