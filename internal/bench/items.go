package bench

import (
	"fmt"
	"math/rand/v2"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
)

// items lists what is timed, by the names that the peer knows; demo is that of the small model.
func items(demo model.TransformerConfig) []item {
	var out []item

	// A large product, then the demo transformer's: q, k and v, and the feed-forward of a short and of
	// the longest clip.
	for _, s := range [][3]int{{1024, 1536, 1536}, {216, 256, 768}, {216, 256, 896}, {216, 896, 256},
		{4320, 256, 896}} {
		out = append(out, gemm(s[0], s[1], s[2]))
	}

	// Attention of the demo model at its longest, and of Wan 1.3B for one latent frame.
	out = append(out, attention(4320, 8, 32), attention(1560, 12, 128))
	for _, frames := range []int{9, 21, 180} {
		out = append(out, transformer(demo, frames))
	}
	return append(out, block(), decode())
}

// gemm is a product of x [m, k] with a weight [n, k]. Two operations per multiply-add give 2·m·k·n.
func gemm(m, k, n int) item {
	return item{
		name: fmt.Sprintf("gemm %dx%dx%d", m, k, n), flops: 2 * float64(m) * float64(k) * float64(n),
		types: both, one: true,
		start: func(e *env, t compute.DType) (func() error, func(), error) {
			a := model.NewArena(e.dev)
			x, y := a.Mat(m, k), a.Mat(m, n)

			// The arena remembers its first error, so one check after the last use is enough.
			w, err := e.dev.PackLinear(random(n*k), nil, n, k, t)
			if err == nil {
				err = a.Err()
			}
			if err != nil {
				return nil, nil, err
			}
			e.dev.Upload(x, random(m*k))

			// Devices may compute asynchronously; callers that time a run use the device's clock.
			return func() error {
				e.dev.Linear(y, x, w, compute.Epilogue{})
				return nil
			}, a.Free, nil
		},
	}
}

// attention is attention of so many tokens to themselves. q, k and v are columns of one matrix, as
// the engine has them. Scores and values take 2·n·n·d operations each; the softmax is not counted.
func attention(tokens, heads, dim int) item {
	return item{
		name:  fmt.Sprintf("attention %dx%dx%d", tokens, heads, dim),
		flops: 4 * float64(tokens) * float64(tokens) * float64(heads*dim), types: both,
		start: func(e *env, t compute.DType) (func() error, func(), error) {
			a := model.NewArena(e.dev)
			d := heads * dim // width of q, of k and of v
			qkv, y := a.Mat(tokens, 3*d), a.Mat(tokens, d)
			if err := a.Err(); err != nil {
				return nil, nil, err
			}

			e.dev.Upload(qkv, random(tokens*3*d))
			// The scale changes no time.
			return func() error {
				e.dev.Attention(y, qkv.ColRange(0, d), qkv.ColRange(d, 2*d), qkv.ColRange(2*d, 3*d),
					compute.AttentionArgs{Heads: heads, Scale: 0.1, DType: t})
				return nil
			}, a.Free, nil
		},
	}
}

// transformer is a pass of the demo model over so many latent frames of 8 x 12, with a text of one
// token and one row for the padding.
func transformer(demo model.TransformerConfig, frames int) item {
	g := partition.Grid{T: frames, H: 8, W: 12, PT: 1, PH: 2, PW: 2}
	return item{
		name: fmt.Sprintf("demo transformer %d tokens", g.Tokens()), best: true, types: both,
		flops: flops(demo, g.Tokens(), 2),
		start: func(e *env, t compute.DType) (func() error, func(), error) {
			w, err := e.folder.Weights("transformer")
			if err != nil {
				return nil, nil, err
			}
			return pass(e, demo, w, g, make([]float32, demo.TextDim), t)
		},
	}
}

// block is a block of Wan 2.1 1.3B with a text of 512 tokens, in a transformer of that one block,
// over one latent frame of 832 x 480: more would take minutes on a CPU.
func block() item {
	g := partition.Grid{T: 1, H: 60, W: 104, PT: 1, PH: 2, PW: 2}
	it := wan13.layers("wan 1.3B block 1560 tokens", 1, g)
	it.types = both
	return it
}

// shape is that of a transformer of Wan: heads, the width of each, that of the feed-forward's
// hidden layer, and that of the text encoder's output.
type shape struct{ heads, dim, inner, text int }

// The transformers of Wan 2.1 (Wan: Open and Advanced Large-Scale Video Generative Models, 2025).
var (
	wan13 = shape{heads: 12, dim: 128, inner: 8960, text: 4096}
	wan14 = shape{heads: 40, dim: 128, inner: 13824, text: 4096}
)

// config returns the configuration of a transformer of so many layers.
func (s shape) config(layers int) model.TransformerConfig {
	return model.TransformerConfig{PatchSize: [3]int{1, 2, 2}, NumAttentionHeads: s.heads,
		AttentionHeadDim: s.dim, InChannels: 16, OutChannels: 16, TextDim: s.text, FreqDim: 256,
		FFNDim: s.inner, NumLayers: layers, CrossAttnNorm: true, Eps: 1e-6}
}

// flops returns the floating-point operations of a pass over so many tokens, with cross attention
// to so many tokens of a text. The text's keys and values are computed once per clip and not
// counted; nor are embeddings, norms and the final layer, which are small next to these.
//
// Per layer: q, k, v and o of self attention and q and o of cross attention are 6·n·d²
// multiply-adds, the feed-forward 2·n·d·f, scores and values of attention 2·n·n·d and 2·n·text·d.
func flops(cfg model.TransformerConfig, tokens, text int) float64 {
	n, d, f := float64(tokens), float64(cfg.Dim()), float64(cfg.FFNDim)
	return float64(cfg.NumLayers) * (12*n*d*d + 4*n*d*f + 4*n*n*d + 4*n*float64(text)*d)
}

// layers is a pass through a transformer of n layers, with random weights. The time does not depend
// on values, as long as they stay finite.
func (s shape) layers(name string, n int, g partition.Grid) item {
	cfg := s.config(n)
	return item{
		name: name, flops: flops(cfg, g.Tokens(), wan.TextTokens),
		types: []compute.DType{compute.BF16},
		start: func(e *env, t compute.DType) (func() error, func(), error) {
			return pass(e, cfg, weightsOf("transformer", cfg.Shapes()), g,
				random(wan.TextTokens*cfg.TextDim), t)
		},
	}
}

// pass is a forward pass of a transformer on one rank. text is [tokens, text width].
func pass(e *env, cfg model.TransformerConfig, w *model.Weights, g partition.Grid, text []float32,
	dt compute.DType) (func() error, func(), error) {
	p, err := newPasses(e, cfg, w, g, text, dt)
	if err != nil {
		return nil, nil, err
	}
	return p.run, p.free, nil
}

// decode is 33 frames of 64 x 112 of the demo model: 9 latent frames of 8 x 14, of which the first
// becomes one frame and each other one four. It runs in float32 alone, as the VAE does in a clip.
func decode() item {
	const frames, h, w = 9, 8, 14
	return item{
		name: "vae decode 33x64x112", types: []compute.DType{compute.FP32},
		start: func(e *env, _ compute.DType) (func() error, func(), error) {
			weights, err := e.folder.Weights("vae")
			if err != nil {
				return nil, nil, err
			}
			d, err := vae.Load(e.dev, e.folder.VAE, weights)
			if err != nil {
				return nil, nil, err
			}

			// A stream per run: the first frame is decoded differently from the later ones.
			return func() error {
				s, err := d.NewStream(h, w)
				if err != nil {
					return err
				}
				defer s.Free()
				frame := random(h * w * e.folder.VAE.ZDim)
				for range frames {
					if _, err := s.Next(frame); err != nil {
						return err
					}
				}
				return nil
			}, func() {}, nil
		},
	}
}

// clip is a whole clip in a new process, loading the model and encoding the video included. make
// runs the process. It shows what users wait for, with all that the other items leave out.
func clip(make func(t compute.DType) error) item {
	return item{
		name: "demo clip 96x64 33 frames 30 steps guided", best: true, types: both,
		start: func(_ *env, t compute.DType) (func() error, func(), error) {
			return func() error { return make(t) }, func() {}, nil
		},
	}
}

// random returns n values of the normal distribution, the same ones every time, so that two runs
// time the same work. Zeros would not do: some hardware computes with them faster, and at less
// power.
func random(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not for secrets
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}
