package transporttest

import (
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/collective"
)

// testGroup runs the collectives over all ranks, over two parts of them at once, and over each rank
// alone. The order of members differs from that of ranks, which catches a mix-up of the two, and
// groups of the same tag overlap in time, as they do in a mesh of windows and heads.
func testGroup(t *testing.T, open Open) {
	const n = 5
	halves := [][]int{{4, 0}, {1, 3, 2}}
	w := newWorld(t, open, n, Options{})

	w.each(func(tr collective.Transport) error {
		half := halves[0]
		if tr.Rank() != 4 && tr.Rank() != 0 {
			half = halves[1]
		}

		for i, members := range [][]int{{0, 1, 2, 3, 4}, half, {tr.Rank()}} {
			g, err := collective.NewGroup(tr, members)
			if err != nil {
				return err
			}
			if err := w.collectives(g, uint32(i)); err != nil {
				return fmt.Errorf("group %v: %w", members, err)
			}
		}
		return nil
	})
}

// collectives calls each collective of the group and checks what comes back.
func (w *world) collectives(g *collective.Group, step uint32) error {
	for i, f := range []func(*collective.Group, collective.Tag) error{
		w.allToAll, w.allGather,
	} {
		if err := f(g, collective.Tag{Step: step, Op: uint32(i)}); err != nil {
			return fmt.Errorf("collective %d: %w", i, err)
		}
	}
	return nil
}

// allToAll also wants the own part to come back uncopied. A copy would double the memory traffic of
// the largest transfer that a layer has.
func (w *world) allToAll(g *collective.Group, tag collective.Tag) error {
	out := make([][]byte, g.Size())
	for i := range out {
		out[i] = blob(g.Rank(), i, tag, size(g.Rank(), i, tag))
	}

	own := out[g.Rank()]
	in, err := g.AllToAll(w.ctx, tag, out)
	if err != nil {
		return err
	}
	for i, b := range in {
		if err := check(b, blob(i, g.Rank(), tag, size(i, g.Rank(), tag))); err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
	}

	if len(own) > 0 && &own[0] != &in[g.Rank()][0] {
		return fmt.Errorf("the own part was copied")
	}
	return nil
}

// allGather has all ranks receive what each of them gave.
func (w *world) allGather(g *collective.Group, tag collective.Tag) error {
	all, err := g.AllGather(w.ctx, tag, blob(g.Rank(), 0, tag, size(g.Rank(), 0, tag)))
	if err != nil {
		return err
	}
	for i, b := range all {
		if err := check(b, blob(i, 0, tag, size(i, 0, tag))); err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
	}
	return nil
}
