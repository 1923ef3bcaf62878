package bench

import (
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
)

const (
	passItem    = "wan 1.3B pass 32760 tokens"
	stepItem    = "wan 1.3B guided step 32760 tokens" // which the page ends with
	blocksTimed = 4                                   // enough that the rest of a pass hardly counts
)

// clip480 is the latent of 81 frames of 832 x 480, the default clip of Wan 2.1: 32,760 tokens.
var clip480 = partition.Grid{T: 21, H: 60, W: 104, PT: 1, PH: 2, PW: 2}

// Names lists the items in the order in which Run times them. The last is for machines with two
// GPUs.
func (g GPU) Names() []string {
	var out []string
	for _, it := range g.items() {
		out = append(out, it.name)
	}
	rows, width, _ := g.copySizes()
	return append(out, overlapName(rows, width), peerCopyName(rows, width))
}

// copySizes returns the rows and the width of what is copied, and the side of the products beside.
func (g GPU) copySizes() (rows, width, side int) {
	if g.Tiny {
		return 30, 70, 40
	}
	return clip480.Tokens(), wan13.heads * wan13.dim, 4096
}

// items lists what is timed, what decides about a clip's time first of its kind.
func (g GPU) items() []item {
	if g.Tiny {
		return tinyItems()
	}
	return slices.Concat(productItems(), attentionItems(), codecItems(), passItems())
}

// productItems are matrix products, and what a weight takes before it is multiplied with.
func productItems() []item {
	var out []item

	// Square products, by which GPUs are commonly compared.
	for _, s := range []int{1024, 2048, 4096, 8192} {
		out = append(out, inBF16(gemm(s, s, s)))
	}

	// The products of a layer for a clip at 480p: attention's output, q, k and v as one, and both of
	// the feed-forward. First alone, as the square ones, then as a block has them.
	for _, w := range []shape{wan13, wan14} {
		d := w.heads * w.dim
		for _, s := range [][2]int{{d, d}, {d, 3 * d}, {d, w.inner}, {w.inner, d}} {
			out = append(out, inBF16(gemm(clip480.Tokens(), s[0], s[1])))
		}
		for _, it := range w.layer(clip480.Tokens()) {
			out = append(out, inBF16(it))
		}
	}
	return append(out, inFP32(gemm(4096, 4096, 4096)), inBF16(uploaded(8192)))
}

// attentionItems are attention of both head widths over ever longer sequences, up to a clip's.
func attentionItems() []item {
	var out []item
	for _, dim := range []int{64, 128} {
		for tokens := 1024; tokens <= 32768; tokens *= 2 {
			out = append(out, inBF16(attention(tokens, 12, dim)))
		}
	}
	for _, w := range []shape{wan13, wan14} {
		out = append(out, inBF16(attention(clip480.Tokens(), w.heads, w.dim)))
	}
	return append(out, inFP32(attention(4096, 12, 128)))
}

// codecItems are what turns a prompt into embeddings, and latents into frames and back.
func codecItems() []item {
	var out []item
	cfg, g := wanVAE(96), clip480
	for _, c := range wanConvs(96, g.H, g.W) {
		out = append(out, c.item())
	}
	// A second of a clip, then all of it: the time for each frame should be the same.
	return append(out, decoded(cfg, 5, g.H, g.W), decoded(cfg, g.T, g.H, g.W),
		encoded(cfg, 5, g.H, g.W), encoded(cfg, g.T, g.H, g.W), encodedText(wanText, 64),
		encodedText(wanText, wan.TextTokens))
}

// passItems are blocks of transformers, a pass, and a step.
func passItems() []item {
	// A block's time is a quarter of its item's, without what a pass does before and after its blocks.
	return []item{wan13.layers("wan 1.3B 4 blocks 32760 tokens", blocksTimed, clip480),
		wan13.perToken("wan 1.3B 4 blocks 32760 tokens per-token timesteps", blocksTimed, clip480),
		wan14.layers("wan 14B 4 blocks 32760 tokens", blocksTimed, clip480),
		wan13.layers(passItem, 30, clip480), wan13.guided(stepItem, 30, clip480)}
}

// tinyItems are one of each kind, for the emulated GPU, in sizes that fill no tile, so that edges
// run as well.
func tinyItems() []item {
	small := shape{heads: 3, dim: 64, inner: 96, text: 32}
	g := partition.Grid{T: 2, H: 4, W: 6, PT: 1, PH: 2, PW: 2}
	a, b := gemm(70, 40, 50), attention(70, 2, 64)
	a.types, b.types = both, both
	out := []item{a, b}
	for _, it := range small.layer(20) {
		out = append(out, inBF16(it))
	}
	for _, c := range wanConvs(4, 2, 3) {
		out = append(out, c.item())
	}

	text := model.TextEncoderConfig{VocabSize: 8, DModel: 32, DKV: 16, DFF: 40, NumLayers: 1,
		NumHeads: 2, RelativeAttentionNumBuckets: 8, RelativeAttentionMaxDistance: 16,
		LayerNormEpsilon: 1e-6}
	cfg := wanVAE(4)
	return append(out, decoded(cfg, 2, 2, 3), encoded(cfg, 2, 2, 3), encodedText(text, 10),
		inBF16(uploaded(48)), small.layers("wan 192 wide 2 blocks 12 tokens", 2, g),
		small.perToken("wan 192 wide 1 block 12 tokens per-token timesteps", 1, g),
		small.guided("wan 192 wide guided step 12 tokens", 1, g))
}

// inBF16 limits an item to bfloat16.
func inBF16(it item) item {
	it.types = []compute.DType{compute.BF16}
	return it
}

// inFP32 limits an item to float32.
func inFP32(it item) item {
	it.types = []compute.DType{compute.FP32}
	return it
}
