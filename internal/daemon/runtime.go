package daemon

import (
	"os"
	"runtime"
	"runtime/debug"
)

// garbageMost is about how much memory may wait for the garbage collector, in bytes. By itself Go
// lets that grow with what is in use, which on a shard is mostly weights: they stay, and hold no
// pointers to scan.
const garbageMost = 12 << 20

// procsMin is how many threads the Go runtime needs to encode video: with one, the VP8 encoder
// takes decisions that differ from those it takes with any larger number, and a clip's bytes with
// them.
const procsMin = 2

// TuneRuntime sets what belongs to the whole process of a shard: when the garbage collector runs,
// and that at least two threads run Go code. A program calls it each time that a model's weights
// have been loaded, since the first setting follows from the memory in use then. A GOGC in the
// environment wins.
func TuneRuntime() {
	if runtime.GOMAXPROCS(0) < procsMin {
		runtime.GOMAXPROCS(procsMin)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent())
	}
}

// garbagePercent returns the GOGC that bounds the heap's garbage by garbageMost.
func garbagePercent() int {
	runtime.GC() // what loading the weights took does not count
	var m runtime.MemStats
	runtime.ReadMemStats(&m)

	const least, most = 5, 100 // percent
	return int(min(max(garbageMost*100/max(1, m.HeapAlloc), least), most))
}
