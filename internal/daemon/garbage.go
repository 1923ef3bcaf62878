package daemon

import (
	"os"
	"runtime"
	"runtime/debug"
)

// garbageMost is about how much memory may wait for the collector, in bytes. By itself Go lets that
// grow with what is in use, which is mostly weights: they stay, and have nothing to scan.
const garbageMost = 12 << 20

// BoundGarbage sets when the garbage collector of this process runs. A program calls it once a
// model's weights are loaded, since it follows from what is in use then. A GOGC of the user's
// holds.
func BoundGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	const least, most = 5, 100 // percent
	debug.SetGCPercent(int(min(max(garbageMost*100/max(1, m.HeapAlloc), least), most)))
}
