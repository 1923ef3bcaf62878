//go:build cuda

package cuda

import (
	"fmt"
	"os"
	"strings"

	"github.com/longtake/longtake/internal/compute"
)

// generation is a set of kernels for products in bfloat16. Where it has none for a shape, the next
// older one has: what runs depends on widths alone, never on how many rows a call has, so that a
// row's bits do not either.
type generation struct {
	name string // as LONGTAKE_CUDA calls it
	// needs says which GPUs run it, and runs whether one of a compute capability does.
	needs string
	runs  func(major, minor int) bool
	// linear and attention return the kernel for inputs and outputs, or for heads, of a width; a
	// zero one where there is none.
	linear    func(in, out int) product
	attention func(hd int, relative bool) product
	// conv returns the kernel for convolutions into so many outputs, with operands of a type.
	conv func(out int, t compute.DType) product
}

// product is a kernel that multiplies matrices, and the rows and columns of the result that a block
// of it computes: they give the grid. In attention a block has some queries of one head; cols is
// the width that v3 fills heads up to, 0 in the others.
type product struct {
	kernel     kernel
	rows, cols int
}

// generations are all that there are, the best first.
var generations = []generation{{
	name: "v3", needs: "sm_90", runs: func(major, minor int) bool { return major == 9 && minor == 0 },
	linear:    func(_, _ int) product { return product{linearV3, rowsV3, colsV3} },
	attention: attentionV3,
	conv:      convOn(convsV3),
}, {
	name: "v2", needs: "sm_80 or newer", runs: func(major, _ int) bool { return major >= 8 },
	linear:    linearV2Of,
	attention: attentionV2,
	conv:      convOn(convsV2),
}, {
	name: "v1", needs: "any", runs: func(_, _ int) bool { return true },
	linear:    func(_, _ int) product { return product{linearBF16, tile, tile} },
	attention: func(hd int, _ bool) product { return attentionV1(hd, compute.BF16) },
	conv:      func(int, compute.DType) product { return product{conv, tile, tile} },
}}

// generationFor picks the best generation for a GPU, or the one that the options or else
// LONGTAKE_CUDA name. It returns that and all older ones.
func generationFor(o Options, major, minor int) ([]generation, error) {
	want, by := o.Generation, "Generation"
	if want == "" {
		want, by = os.Getenv("LONGTAKE_CUDA"), "LONGTAKE_CUDA"
	}

	var names []string
	for i, g := range generations {
		runs := g.runs(major, minor)
		if want == g.name && !runs {
			return nil, fmt.Errorf("%s is %q, which needs %s; this GPU is sm_%d%d", by, want, g.needs,
				major, minor)
		}

		if runs && (want == "" || want == g.name) {
			return generations[i:], nil
		}
		names = append(names, g.name)
	}
	return nil, fmt.Errorf("%s is %q; allowed: %s", by, want, strings.Join(names, ", "))
}

// linearOf returns the kernel for a weight [out, in]. Products in float32 are v1's.
func (d *Device) linearOf(in, out int, t compute.DType) product {
	switch t {
	case compute.FP32:
		return product{linearF32, tile, tile}
	case compute.FP8:
		return product{linearFP8, rowsFP8, colsFP8}
	}
	return d.first(func(g generation) product { return g.linear(in, out) })
}

// attentionOf returns the kernel for heads of a width, with or without relative positions.
func (d *Device) attentionOf(hd int, relative bool, t compute.DType) product {
	if t == compute.FP32 {
		return attentionV1(hd, t)
	}
	return d.first(func(g generation) product { return g.attention(hd, relative) })
}

// first returns what the best generation that has a kernel chooses; v1 always has one, or panics
// for a head that is too wide for any.
func (d *Device) first(choose func(generation) product) (p product) {
	for _, g := range d.generations {
		if p = choose(g); p != (product{}) {
			break
		}
	}
	return p
}

// attentionsV1 lists the kernels of attention by the widest head that they take.
var attentionsV1 = []struct {
	widest    int
	fp32, low kernel
}{
	{64, attention64, attention64BF16},
	{128, attention128, attention128BF16},
	{384, attention384, attention384BF16},
}

// queries is the rows of a block of attention v1.
const queries = 16

// attentionV1 returns v1's kernel for heads of a width. It panics beyond the widest.
func attentionV1(hd int, t compute.DType) product {
	for _, c := range attentionsV1 {
		if hd <= c.widest && t == compute.BF16 {
			return product{kernel: c.low, rows: queries}
		}
		if hd <= c.widest {
			return product{kernel: c.fp32, rows: queries}
		}
	}
	panic(fmt.Sprintf("cuda: Attention: head dim %d; allowed: 1 to 384", hd))
}
