package cpu

import "github.com/longtake/longtake/internal/compute"

// walk is the tiles of keyTile keys that queries attend to, in their order.
type walk struct {
	list  []int32 // tiles of compute.TileTokens keys; nil: all
	count int
}

// tilesListed is the tiles of keyTile keys in one that is listed.
const tilesListed = compute.TileTokens / keyTile

// walk returns the tiles of a query and those in its tile.
func (a *attention) walk(query int) walk {
	all := ceil(a.k.rows, keyTile)
	if a.args.Tiles == nil {
		return walk{count: all}
	}

	// The last tile of keys may be shorter, and only the last of a list can be that one.
	list := a.args.Tiles.List(query / compute.TileTokens)
	last := len(list) - 1
	return walk{list, last*tilesListed + min(tilesListed, all-int(list[last])*tilesListed)}
}

// at returns the number of tile i of a walk.
func (w *walk) at(i int) int {
	if w.list == nil {
		return i
	}
	return int(w.list[i/tilesListed])*tilesListed + i%tilesListed
}
