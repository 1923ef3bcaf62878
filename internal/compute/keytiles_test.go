package compute

import (
	"slices"
	"strings"
	"testing"
)

func TestKeyTiles(t *testing.T) {
	k, err := NewKeyTiles([][]int32{{0, 2}, {1}}, 2*TileTokens+1)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(k.List(0), []int32{0, 2}) || !slices.Equal(k.List(1), []int32{1}) {
		t.Errorf("lists %v and %v", k.List(0), k.List(1))
	}
	if k.Share() != 0.5 {
		t.Errorf("%v of all pairs", k.Share())
	}
	for _, size := range [][2]int{{TileTokens, 2*TileTokens + 1}, {2 * TileTokens, 2 * TileTokens}} {
		if k.fits(size[0], size[1]) {
			t.Errorf("lists of 2 tiles fit %v", size)
		}
	}
	if !k.fits(TileTokens+1, 2*TileTokens+1) {
		t.Error("lists do not fit what they were made for")
	}
}

func TestKeyTilesRefuse(t *testing.T) {
	for want, list := range map[string][]int32{
		"attends to nothing":              {},
		"attends to tile 1 after 1":       {0, 1, 1},
		"attends to tile 3 after 0":       {0, 3},
		"attends to tile -1 after -1; al": {-1},
	} {
		_, err := NewKeyTiles([][]int32{list}, 3*TileTokens)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v; want %q", list, err, want)
		}
	}
}
