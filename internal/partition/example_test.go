package partition_test

import (
	"fmt"

	"github.com/longtake/longtake/internal/partition"
)

// 24 ranks share a clip of 61 latent frames, which is made in overlapping windows of 21.
func Example() {
	grid := partition.Grid{T: 61, H: 60, W: 104, PT: 1, PH: 2, PW: 2}
	load := partition.Load{Timeline: grid.Timeline(21, 5, false), Heads: 12, HeadDim: 128,
		Layers: 30, TokenWidth: 64, Guided: true}
	fmt.Println(load.Windows(0), "of", load.WindowTokens(), "tokens")

	mesh, err := partition.Choose(24, load)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %d MB a step\n", mesh, partition.Bytes(mesh, load).Sum()/1e6)
	fmt.Println("tokens of a window, by rank:", partition.Even(load.WindowTokens(), mesh.Ulysses))

	// A count that nothing divides among is refused with those that work.
	_, err = partition.Choose(53, load)
	fmt.Println("53 ranks; allowed:", err)

	// Output:
	// [{0 21} {16 37} {32 53} {40 61}] of 32760 tokens
	// window=4,cfg=2,ulysses=3: 128918 MB a step
	// tokens of a window, by rank: [{0 10920} {10920 21840} {21840 32760}]
	// 53 ranks; allowed: 48 or 54 (12 heads, 32760 tokens cannot be shared by 53)
}
