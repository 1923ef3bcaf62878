package clip

import (
	"errors"
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
)

// Encoder is the packed weights, and a device that computes with them. It belongs to one goroutine.
type Encoder struct {
	dev        compute.Device           // that computes
	cfg        model.ImageEncoderConfig // as in image_encoder/config.json
	patch      compute.Linear           // [d, 3·patch·patch]
	start      []float32                // [tokens, d]: positions, with the class token's embedding
	preG, preB compute.Vector           // [d], before the layers
	layers     []layer                  // in their order, without the last
}

// layer is a CLIPEncoderLayer: self-attention, then the feed-forward, each after a norm.
type layer struct {
	norm1G, norm1B compute.Vector // [d]
	norm2G, norm2B compute.Vector // [d]
	qkv, out       compute.Linear // [3d, d], [d, d]
	up, down       compute.Linear // [ff, d], [d, ff]
}

// Load binds the weights of an image encoder; missing and misshaped ones are errors that name them.
// What comes behind the last layer but one has no use here and stays in the file.
func Load(dev compute.Device, cfg model.ImageEncoderConfig, w *model.Weights) (*Encoder, error) {
	last := cfg.NumHiddenLayers - 1
	w.IgnorePrefix(fmt.Sprintf("encoder.layers.%d.", last))
	w.IgnorePrefix("post_layernorm.")

	b := model.NewBuilder(dev, w)
	e := &Encoder{dev: dev, cfg: cfg, start: b.Take("embeddings.position_embedding.weight")}
	for i, v := range b.Take("embeddings.class_embedding") {
		e.start[i] += v
	}
	e.patch = b.PackLinear(b.Take("embeddings.patch_embedding.weight"), nil, cfg.HiddenSize,
		3*cfg.PatchSize*cfg.PatchSize)

	e.preG, e.preB = b.Vector("pre_layrnorm.weight"), b.Vector("pre_layrnorm.bias")
	for i := range last {
		e.layers = append(e.layers, loadLayer(b, fmt.Sprintf("encoder.layers.%d.", i)))
	}

	if err := b.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the image encoder: %w", err)
	}
	return e, nil
}

// loadLayer binds the layer whose weights' names begin with at; q, k and v become one product.
func loadLayer(b *model.Builder, at string) layer {
	return layer{
		norm1G: b.Vector(at + "layer_norm1.weight"), norm1B: b.Vector(at + "layer_norm1.bias"),
		norm2G: b.Vector(at + "layer_norm2.weight"), norm2B: b.Vector(at + "layer_norm2.bias"),
		qkv: b.Linear(at+"self_attn.q_proj", at+"self_attn.k_proj", at+"self_attn.v_proj"),
		out: b.Linear(at + "self_attn.out_proj"),
		up:  b.Linear(at + "mlp.fc1"), down: b.Linear(at + "mlp.fc2"),
	}
}

// On returns the encoder with the same weights on another device, whose compute.Packing is that of
// the one they were packed on.
func (e *Encoder) On(dev compute.Device) *Encoder {
	on := *e
	on.dev = dev
	return &on
}

// activations are the device memory of one picture, n tokens.
type activations struct {
	patches           compute.Mat // [n-1, 3·patch·patch]
	hidden, norm, att compute.Mat // [n, d]
	qkv, up           compute.Mat // [n, 3d], [n, ff]
}

// allocate takes the memory of one picture.
func allocate(c model.ImageEncoderConfig, a *model.Arena) activations {
	n, d := c.Tokens(), c.HiddenSize
	return activations{patches: a.Mat(n-1, 3*c.PatchSize*c.PatchSize), hidden: a.Mat(n, d),
		norm: a.Mat(n, d), att: a.Mat(n, d), qkv: a.Mat(n, 3*d), up: a.Mat(n, c.IntermediateSize)}
}

// Bytes returns the bytes of device memory that encoding a picture takes beside the weights.
func Bytes(c model.ImageEncoderConfig) int64 {
	m := &compute.Meter{}
	allocate(c, model.NewArena(m))
	return m.Peak()
}

// Encode returns the embeddings [tokens, d] of a picture, pixels [size, size, 3] from Pixels: the
// state before the last layer. Pixels of another size are an error; values that are not finite are
// a *tensor.NotFiniteError.
func (e *Encoder) Encode(pixels []float32) ([]float32, error) {
	c := e.cfg
	if len(pixels) != c.ImageSize*c.ImageSize*3 {
		return nil, fmt.Errorf("%d values are no picture of %d x %d pixels", len(pixels), c.ImageSize,
			c.ImageSize)
	}

	arena := model.NewArena(e.dev)
	defer arena.Free()
	s := allocate(c, arena)
	if err := arena.Err(); err != nil {
		return nil, fmt.Errorf("cannot hold %d tokens of a picture: %w", c.Tokens(), err)
	}

	// The first token stands for the whole picture and has no patch: positions are there already.
	e.dev.Upload(s.patches, e.patchRows(pixels))
	e.dev.Upload(s.hidden, e.start)
	own := s.hidden.RowRange(1, c.Tokens())
	e.dev.Linear(own, s.patches, e.patch, compute.Epilogue{Residual: &own})
	e.dev.LayerNorm(s.hidden, s.hidden, compute.Norm{Eps: c.LayerNormEps, Gain: e.preG, Bias: e.preB})

	for i := range e.layers {
		e.layer(s, &e.layers[i])
	}

	out := make([]float32, c.Tokens()*c.HiddenSize)
	err := e.dev.Download(out, s.hidden)
	return out, errors.Join(err, tensor.CheckFinite("what the image encoder makes", out))
}

// patchRows cuts pixels into patches: [patches, 3·patch·patch], channel by channel within each, as
// the weight of the convolution has them.
func (e *Encoder) patchRows(pixels []float32) []float32 {
	size, p := e.cfg.ImageSize, e.cfg.PatchSize
	side := size / p
	out := make([]float32, 0, side*side*3*p*p)
	for at := range side * side {
		y, x := at/side*p, at%side*p
		for c := range 3 {
			for k := range p * p {
				out = append(out, pixels[3*((y+k/p)*size+x+k%p)+c])
			}
		}
	}
	return out
}

// layer runs one layer on s.hidden.
func (e *Encoder) layer(s activations, l *layer) {
	dev, d, eps := e.dev, e.cfg.HiddenSize, e.cfg.LayerNormEps
	dev.LayerNorm(s.norm, s.hidden, compute.Norm{Eps: eps, Gain: l.norm1G, Bias: l.norm1B})
	dev.Linear(s.qkv, s.norm, l.qkv, compute.Epilogue{}) // [n, d] to [n, 3d]
	heads := e.cfg.NumAttentionHeads
	dev.Attention(s.att, s.qkv.ColRange(0, d), s.qkv.ColRange(d, 2*d), s.qkv.ColRange(2*d, 3*d),
		compute.AttentionArgs{Heads: heads, Scale: float32(1 / math.Sqrt(float64(d/heads)))})
	dev.Linear(s.hidden, s.att, l.out, compute.Epilogue{Residual: &s.hidden})

	dev.LayerNorm(s.norm, s.hidden, compute.Norm{Eps: eps, Gain: l.norm2G, Bias: l.norm2B})
	dev.Linear(s.up, s.norm, l.up, compute.Epilogue{Act: compute.GELU})
	dev.Linear(s.hidden, s.up, l.down, compute.Epilogue{Residual: &s.hidden})
}
