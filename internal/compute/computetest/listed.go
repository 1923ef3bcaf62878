package computetest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/underrace"
)

// mask takes the keys away that query i does not attend to.
func (c *attentionCase) mask(p []float64, i int) {
	list := c.tiles.List(i / compute.TileTokens)
	for tile := range int32(compute.Tiles(c.nk)) {
		if slices.Contains(list, tile) {
			continue
		}
		lo := int(tile) * compute.TileTokens
		for j := lo; j < min(lo+compute.TileTokens, c.nk); j++ {
			p[j] = math.Inf(-1)
		}
	}
}

// listed returns lists of keys: of each tile, or of some that r chooses.
func (c *attentionCase) listed(t fataler, r *rand.Rand) *compute.KeyTiles {
	t.Helper()
	var lists [][]int32

	// Each list has a tile at least.
	for range compute.Tiles(c.nq) {
		var list []int32
		for k := range int32(compute.Tiles(c.nk)) {
			if r == nil || r.IntN(2) == 0 {
				list = append(list, k)
			}
		}
		if list == nil {
			list = []int32{r.Int32N(int32(compute.Tiles(c.nk)))}
		}
		lists = append(lists, list)
	}

	tiles, err := compute.NewKeyTiles(lists, c.nk)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return tiles
}

// attentionToListedKeys checks lists of keys: that of all has the bits of none, random ones are
// held to the reference, and neither the number of threads nor that of heads changes a bit.
func (s *suite) attentionToListedKeys(t *testing.T) {
	const nq, nk = compute.TileTokens + 40, 3*compute.TileTokens - 300
	r, devs := numbersFrom(1), s.devices(t)
	type kind struct {
		dtype     compute.DType
		heads, hd int
	}
	for _, in := range underrace.Some([]kind{{compute.FP32, 2, 16}, {compute.BF16, 1, 32},
		{compute.BF16, 1, 64}, {compute.BF16, 1, 128}}, 1) { // threads share rows in the same way
		c := &attentionCase{nq: nq, nk: nk, heads: in.heads, hd: in.hd, dtype: in.dtype, last: 2,
			scale: float32(1 / math.Sqrt(float64(in.hd)))}
		c.q, c.k = r.normal(nq*c.width(), 1), r.normal(nk*c.width(), 1)
		c.v = r.normal(nk*c.width(), 1)
		dense := c.run(t, devs[0], 0, nq)
		c.tiles = c.listed(t, nil)
		same(t, c.run(t, devs[1], 0, nq), dense, "%+v: a list of all keys", in)

		c.tiles = c.listed(t, r.Rand)
		got := c.run(t, devs[0], 0, nq)
		close(t, got, c.want(), max(s.tol, c.tol()))
		same(t, c.run(t, devs[2], 0, nq), got, "%+v: threads", in)
		last := c.heads - 1
		part := c.runPart(t, devs[1], 0, nq, last, c.heads)
		for i := range nq {
			want := got[i*c.width()+last*c.hd : (i+1)*c.width()]
			same(t, part[i*c.hd:(i+1)*c.hd], want, "%+v: row %d of a head alone", in, i)
		}
	}
}

// attentionToOddLists checks lists at the edges of what kernels take at a time: a single tile, the
// last one alone or left out, which may have a few keys, more than half of its keys, or all. Only
// the last key of all has the bias.
func (s *suite) attentionToOddLists(t *testing.T) {
	const nq, each = 40, compute.TileTokens
	r, dev := numbersFrom(2), s.open(t, 2)
	for _, nk := range underrace.Some([]int{2*each + 7, 2*each + 200, 3 * each}, 1) { // as above
		for i, list := range [][]int32{{0}, {2}, {0, 1}, {1, 2}, {0, 2}} {
			c := &attentionCase{nq: nq, nk: nk, heads: 1, hd: 64 * (1 + i%2), dtype: compute.BF16,
				last: 3, scale: 0.1}
			c.q, c.k = r.normal(nq*c.hd, 1), r.normal(nk*c.hd, 1)
			c.v = r.normal(nk*c.hd, 1)

			tiles, err := compute.NewKeyTiles([][]int32{list}, nk)
			if err != nil {
				t.Fatal(err)
			}
			c.tiles = tiles
			close(t, c.run(t, dev, 0, nq), c.want(), max(s.tol, c.tol()))
		}
	}
}
