package compute

import "fmt"

// TileTokens is how many tokens a tile of KeyTiles has, in queries and in keys alike: a multiple of
// every tile that devices walk in, so that a list of all tiles gives the bits of no list.
const TileTokens = 384

// Tiles returns the tiles of so many tokens: runs of TileTokens in the order of the tokens, of
// which the last may be shorter.
func Tiles(tokens int) int { return (tokens + TileTokens - 1) / TileTokens }

// KeyTiles lists, for each tile of queries, the tiles of keys that its queries attend to; to them
// all others do not exist. Tiles are counted in the tokens of the whole sequence, so that any rank
// that attends to it, for some of the heads, reads the same lists. It is read-only and may be used
// by several devices.
type KeyTiles struct {
	// flat begins with where the list of each tile of queries begins in flat, and where the last one
	// ends; then come the lists.
	flat        []int32
	keys, pairs int
}

// NewKeyTiles checks lists, one for each tile of queries, over the tiles of so many keys: each has
// to have a tile at least, and to ascend.
func NewKeyTiles(lists [][]int32, keys int) (*KeyTiles, error) {
	k := &KeyTiles{flat: make([]int32, len(lists)+1), keys: keys}
	for i, list := range lists {
		// Ascending numbers name no tile twice, and the last tile of keys last.
		last := int32(-1)
		for _, tile := range list {
			if tile <= last || int(tile) >= Tiles(keys) {
				return nil, fmt.Errorf("tile %d of queries attends to tile %d after %d; allowed: ascending, "+
					"below %d", i, tile, last, Tiles(keys))
			}
			last = tile
		}
		if last < 0 {
			return nil, fmt.Errorf("tile %d of queries attends to nothing", i)
		}

		k.flat[i] = int32(len(k.flat)) //nolint:gosec // far fewer
		k.flat = append(k.flat, list...)
		k.pairs += len(list)
	}
	k.flat[len(lists)] = int32(len(k.flat)) //nolint:gosec // far fewer
	return k, nil
}

// Flat is the lists in one: Flat()[i] to Flat()[i+1] is where in Flat the list of tile i of queries
// lies. It must not be changed.
func (k *KeyTiles) Flat() []int32 { return k.flat }

// List returns the tiles of keys of tile i of queries. It must not be changed.
func (k *KeyTiles) List(i int) []int32 { return k.flat[k.flat[i]:k.flat[i+1]] }

// Share returns how much of all pairs of tiles the lists name, up to 1.
func (k *KeyTiles) Share() float64 {
	return float64(k.pairs) / float64(int(k.flat[0]-1)*Tiles(k.keys))
}

// fits reports whether k is about so many queries and keys.
func (k *KeyTiles) fits(queries, keys int) bool {
	return k.keys == keys && int(k.flat[0]-1) == Tiles(queries)
}
