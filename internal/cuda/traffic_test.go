//go:build cuda

package cuda

import (
	"math"
	"os"
	"testing"

	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

// traffic counts the kernels that operations launch, and the bytes that those move which have a row
// for each of so many tokens: every matrix once per kernel. It computes nothing.
type traffic struct {
	compute.Device
	turns           bool // values are transposed, as in v3
	tokens          int
	launches, bytes int
}

// operandTraffic is traffic of a device with operands.
type operandTraffic struct {
	*traffic
	compute.Rounder
}

// launch counts a kernel that moves some matrices.
func (c *traffic) launch(matrices ...compute.Mat) {
	c.launches++
	for _, m := range matrices {
		size := 4
		if m.Operand() {
			size = 2
		}
		if m.Rows == c.tokens {
			c.bytes += size * m.Rows * m.Cols
		}
	}
}

// layOut counts the kernel that lays x out for a product, if it is no operand, and what the product
// reads of it.
func (c *traffic) layOut(x compute.Mat) {
	if x.Rows == c.tokens {
		c.bytes += 2 * x.Rows * x.Cols // read by the product
	}
	if !x.Operand() {
		c.launch(x)
		if x.Rows == c.tokens {
			c.bytes += 2 * x.Rows * x.Cols
		}
	}
}

// Linear counts a product of the tokens; those of a text are not of a block.
func (c *traffic) Linear(dst, x compute.Mat, _ compute.Linear, ep compute.Epilogue) {
	if x.Rows != c.tokens {
		return
	}
	c.layOut(x)
	if c.launch(dst); ep.Residual != nil {
		c.bytes += 4 * dst.Rows * dst.Cols
	}
}

func (c *traffic) LayerNorm(dst, x compute.Mat, _ compute.Norm) { c.launch(dst, x) }

func (c *traffic) RMSNorm(dst, x compute.Mat, _ compute.Vector, _ float32, _ *compute.Rope) {
	if x.Rows == c.tokens {
		c.launch(dst, x)
	}
}

func (c *traffic) Attention(dst, q, k, v compute.Mat, _ compute.AttentionArgs) {
	c.layOut(k)
	c.layOut(v)
	if v.Operand() && c.turns {
		c.launch(v, v) // read and written
	}
	c.launch(dst, q)
}

func (c *traffic) AddVector(_, _ compute.Mat, _ compute.Vector) { c.launches++ }

// TestOperandsSaveTraffic counts what a block launches and moves, per token and column, where the
// feed-forward is as wide as that of Wan 1.3B: the table of docs/design/cuda.md.
func TestOperandsSaveTraffic(t *testing.T) {
	eachGeneration(t, func(t *testing.T) {
		generation := os.Getenv("LONGTAKE_CUDA")
		if generation == "v1" {
			t.Skip("v1 has no operands")
		}

		launches, bytes := blockTraffic(t, generation == "v3", false)
		if launches != 25 || bytes != 230 {
			t.Errorf("without operands %d launches, %d bytes; want 25, 230", launches, bytes)
		}
		wantLaunches, wantBytes := 19, 133
		if generation == "v2" {
			wantLaunches, wantBytes = 18, 129
		}
		launches, bytes = blockTraffic(t, generation == "v3", true)
		if launches != wantLaunches || bytes != wantBytes {
			t.Errorf("with operands %d launches, %d bytes; want %d, %d", launches, bytes, wantLaunches,
				wantBytes)
		}
	})
}

// blockTraffic returns the launches of a block, and its bytes per token and column: what a model of
// two blocks has more than one of one.
func blockTraffic(t *testing.T, turns, operands bool) (launches, bytes int) {
	d, grid := openWith(t, Options{}), partition.Grid{T: 1, H: 10, W: 14, PT: 1, PH: 2, PW: 2}
	n, cfg := grid.Tokens(), model.TransformerConfig{}
	of := func(layers int) *traffic {
		f, load := wideHeads(func(c *model.TransformerConfig) {
			c.NumLayers, c.FFNDim, c.ImageDim, c.AddedKVProjDim = layers, 1120, 0, 0
		})
		c := &traffic{Device: d, turns: turns, tokens: n}
		dev := compute.Device(c)
		if operands {
			dev = operandTraffic{c, d}
		}

		cfg = f.Transformer
		x := normal(n * 64)
		r := ranks{folder: f, dtype: compute.BF16, x: x, v: make([]float32, len(x)), grid: grid,
			embeds: normal(5 * cfg.TextDim), tokens: partition.Even(n, 1), heads: partition.Even(3, 1)}
		world := mem.NewWorld(1, mem.Options{})
		defer world[0].Close()
		if err := r.pass(dev, load(), world[0]); err != nil {
			t.Fatal(err)
		}
		return c
	}

	one, two := of(1), of(2)
	each := float64(two.bytes-one.bytes) / float64(n*cfg.Dim())
	return two.launches - one.launches, int(math.Round(each))
}
