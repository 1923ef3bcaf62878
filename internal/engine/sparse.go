package engine

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/sparse"
)

// keyTiles returns the lists of keys of a pass over a window at a step, nil for all keys. They
// follow from the spec and the window's grid, so that all ranks have the same.
func (r *run) keyTiles(step int, window partition.Range) (*compute.KeyTiles, error) {
	steps := r.Plan.Spec.Steps
	if sparse.Dense(step%steps, steps) {
		return nil, nil
	}
	return r.windowTiles(window)
}

// windowTiles returns the lists of keys for a window of token frames; those of windows of the same
// length are made once.
func (r *run) windowTiles(window partition.Range) (*compute.KeyTiles, error) {
	pattern, ok := sparse.Parse(r.Plan.Spec.SparseAttention)
	if !ok {
		return nil, fmt.Errorf("sparse_attention is %.80q; allowed: %s", r.Plan.Spec.SparseAttention,
			sparse.Allowed)
	}
	if pattern.Off() || r.causal() || r.tilesFrames == window.Len() {
		return r.tiles, nil
	}

	grid := r.windowGrid(window)
	lists := pattern.Lists(grid, compute.TileTokens, 1+r.references())
	tiles, err := compute.NewKeyTiles(lists, grid.Tokens())
	if err != nil {
		return nil, err
	}
	if tiles.Share() == 1 { // a window that is too short to leave anything out
		tiles = nil
	}
	r.tiles, r.tilesFrames = tiles, window.Len()
	return r.tiles, nil
}
