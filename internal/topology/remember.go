package topology

import (
	"sync"

	"github.com/longtake/longtake/internal/partition"
)

// What ranks send each other between passes follows from the mesh and the kind of clip alone. A
// scheduler asks for the same few kinds all day, and of a clip of many windows to count that takes
// longer than all else of a choice. So it is remembered, for whoever asks.

// counted are the velocities of meshes and kinds of clips that share the windows evenly.
var counted struct {
	sync.Mutex
	pairs map[countedKey][]partition.Pair
	sum   int // of pairs
}

// countedKey is all of a load that velocities depend on.
type countedKey struct {
	mesh       partition.Mesh
	timeline   partition.Timeline
	tokenWidth int
	guided     bool
}

// countedMost bounds the pairs that are remembered: beyond that all are forgotten. Clips of one
// kind take some tens of meshes, each of up to a few thousand pairs of 24 bytes.
const countedMost = 1 << 19

// evenVelocities is partition.Velocities without shares. The caller must not change the list.
func evenVelocities(m partition.Mesh, l partition.Load) []partition.Pair {
	key := countedKey{m, l.Timeline, l.TokenWidth, l.Guided}
	counted.Lock()
	defer counted.Unlock()
	out, known := counted.pairs[key]
	if known {
		return out
	}

	out = partition.Velocities(m, l, nil)
	if counted.sum += len(out); counted.pairs == nil || counted.sum > countedMost {
		counted.pairs, counted.sum = map[countedKey][]partition.Pair{}, len(out)
	}
	counted.pairs[key] = out
	return out
}
