//go:build cuda

package cuda

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// withoutOperands hides from models that a device has operands, and with them all that it offers
// beyond compute.Device.
func withoutOperands(d compute.Device) compute.Device { return struct{ compute.Device }{d} }

// wideHeads returns a small transformer that has heads of 64, as v3 takes operands of them, and
// widths that fill no panel; it sees pictures. The weights are random. Changes come first.
func wideHeads(changes ...func(*model.TransformerConfig)) (*model.Folder, func() *model.Weights) {
	cfg := model.TransformerConfig{PatchSize: [3]int{1, 2, 2}, NumAttentionHeads: 3,
		AttentionHeadDim: 64, InChannels: 16, OutChannels: 16, TextDim: 16, FreqDim: 8, FFNDim: 200,
		NumLayers: 1, CrossAttnNorm: true, Eps: 1e-6, ImageDim: 8, AddedKVProjDim: 192}
	for _, change := range changes {
		change(&cfg)
	}

	r, tensors := rand.New(rand.NewPCG(3, 4)), map[string]tensor.Tensor{}
	for name, shape := range cfg.Shapes() {
		v := make([]float32, shape.Elements())
		for i := range v {
			v[i] = float32(r.NormFloat64()) * 0.2
		}
		tensors[name] = tensor.FromFloat32(v, shape...)
	}
	return &model.Folder{Transformer: cfg}, func() *model.Weights {
		return model.NewWeights("transformer", tensors, cfg.Shapes())
	}
}

// TestOperandsGiveTheSameBits runs a block with operands and without, on one rank and on two of
// uneven parts: once everything is rounded by those who read it, once by those who make it.
func TestOperandsGiveTheSameBits(t *testing.T) {
	f, load := wideHeads()
	grid := partition.Grid{T: 3, H: 10, W: 14, PT: 1, PH: 2, PW: 2} // 105 tokens
	velocity := func(t *testing.T, n int, as func(compute.Device) compute.Device) []byte {
		x := normal(grid.Tokens() * 64)
		r := ranks{folder: f, dtype: compute.BF16, x: x, v: make([]float32, len(x)),
			embeds: normal(5 * f.Transformer.TextDim), grid: grid,
			tokens: partition.Even(grid.Tokens(), n), heads: partition.Even(3, n)}

		var devs []compute.Device
		for range n {
			devs = append(devs, as(openWith(t, Options{SlabBytes: 1, CopyBytes: 1000})))
		}
		eachRank(t, n, func(i int, tr collective.Transport) error { return r.pass(devs[i], load(), tr) })
		return tensor.Bytes(r.v)
	}

	eachGeneration(t, func(t *testing.T) {
		if os.Getenv("LONGTAKE_CUDA") == "v1" {
			t.Skip("v1 has no operands")
		}
		want := velocity(t, 1, withoutOperands)
		for n := 1; n <= 2; n++ {
			got := velocity(t, n, func(d compute.Device) compute.Device { return d })
			if !bytes.Equal(got, want) {
				t.Errorf("%d ranks: other bits than without operands", n)
			}
		}
	})
}

// TestOperandsSaveMemory holds what a rank of Wan 14B takes for 81 frames of 720p to what it is
// made of, and to less than two thirds of what it takes without operands.
func TestOperandsSaveMemory(t *testing.T) {
	cfg := model.TransformerConfig{PatchSize: [3]int{1, 2, 2}, NumAttentionHeads: 40,
		AttentionHeadDim: 128, InChannels: 16, OutChannels: 16, TextDim: 4096, FreqDim: 256,
		FFNDim: 13824, NumLayers: 40, CrossAttnNorm: true, Eps: 1e-6}
	grid := partition.Grid{T: 21, H: 90, W: 160, PT: 1, PH: 2, PW: 2} // 75,600 tokens
	tokens, heads := partition.Even(grid.Tokens(), 1), partition.Even(40, 1)

	eachGeneration(t, func(t *testing.T) {
		if os.Getenv("LONGTAKE_CUDA") == "v1" {
			t.Skip("v1 has no operands")
		}
		d := openWith(t, Options{})
		with := wan.Outline(cfg, compute.BF16).On(d).SequenceBytes(grid, 0, tokens, heads)
		plain := struct {
			compute.Device
			compute.Workspace
		}{d, d}
		without := wan.Outline(cfg, compute.BF16).On(plain).SequenceBytes(grid, 0, tokens, heads)

		// hidden, q and k in float32; norm, attn, k, v and up in bfloat16.
		n, wide := int64(grid.Tokens()), int64(4*cfg.Dim())
		if least := n * (wide*3 + wide/2*4 + int64(2*cfg.FFNDim)); with < least {
			t.Errorf("%d bytes, less than the %d of its matrices", with, least)
		}
		t.Log(fmt.Sprintf("%.2f GB with operands, %.2f GB without", float64(with)/1e9,
			float64(without)/1e9))
		if with > without*2/3 {
			t.Errorf("%d bytes with operands, %d without", with, without)
		}
	})
}
