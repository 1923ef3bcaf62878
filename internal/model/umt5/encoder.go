package umt5

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
)

// Encoder turns token ids into embeddings on one device. The weights of its layers are packed; the
// embedding table, a fifth of the published model, stays in the file. It belongs to one goroutine.
type Encoder struct {
	dev    compute.Device                      // where the layers' weights are
	cfg    model.TextEncoderConfig             // as in text_encoder/config.json
	dtype  compute.DType                       // of products
	embed  tensor.Tensor                       // [vocab, d], read row by row from the file
	layers []layer                             // in their order
	norm   compute.Vector                      // [d], after the last layer
	tap    func(layer int, hidden compute.Mat) // sees the state after each layer, in tests
}

// layer is a UMT5Block: self-attention, then the feed-forward, each after a norm. inner is the
// width of all heads together, heads · d_kv.
type layer struct {
	attnNorm, ffNorm compute.Vector // [d]
	qkv, out         compute.Linear // [3·inner, d], [d, inner]
	gate, up, down   compute.Linear // [ff, d], [ff, d], [d, ff]
	bias             []float32      // [buckets, heads], spread over distances for each prompt
}

// Load binds every weight of the text encoder; missing and unused ones are errors that name them. w
// has to stay open, since embeddings are read from it on demand. t is the type that products
// multiply.
func Load(dev compute.Device, cfg model.TextEncoderConfig, w *model.Weights, t compute.DType) (
	*Encoder, error) {
	e := &Encoder{dev: dev, cfg: cfg, dtype: t}
	e.embed = w.Raw(embeddingName(w))
	b := model.NewBuilder(dev, w)
	b.DType = t
	for i := range cfg.NumLayers {
		e.layers = append(e.layers, loadLayer(b, i))
	}
	e.norm = b.Vector("encoder.final_layer_norm.weight")
	if err := b.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the text encoder: %w", err)
	}
	return e, nil
}

// embeddingName picks one of the two names of the token embedding. Where the files hold it under
// both, the copies are equal, and the second stays unread.
func embeddingName(w *model.Weights) string {
	if !w.Listed(model.SharedEmbedding) {
		return model.TiedEmbedding
	}
	w.Ignore(model.TiedEmbedding)
	return model.SharedEmbedding
}

// loadLayer binds block i; q, k and v become one product of the same input.
func loadLayer(b *model.Builder, i int) layer {
	at := fmt.Sprintf("encoder.block.%d.layer.", i)
	attn, ff := at+"0.SelfAttention.", at+"1.DenseReluDense."
	return layer{
		attnNorm: b.Vector(at + "0.layer_norm.weight"),
		ffNorm:   b.Vector(at + "1.layer_norm.weight"),
		qkv:      b.Linear(attn+"q", attn+"k", attn+"v"),
		out:      b.Linear(attn + "o"),
		gate:     b.Linear(ff + "wi_0"),
		up:       b.Linear(ff + "wi_1"),
		down:     b.Linear(ff + "wo"),
		bias:     b.Take(attn + "relative_attention_bias.weight"),
	}
}

// Encode returns the embeddings [len(ids), d] of a prompt's tokens, after the final norm. An id
// outside the vocabulary is an error, and so is an empty prompt: there is always `</s>`. If the
// device notices that values are not finite, a *tensor.NotFiniteError says up to which layer.
func (e *Encoder) Encode(ids []int32) ([]float32, error) {
	n := len(ids)
	if n == 0 {
		return nil, fmt.Errorf("cannot encode a prompt without tokens")
	}
	rows, err := e.lookup(ids)
	if err != nil {
		return nil, err
	}

	s, err := newScratch(e.dev, e.cfg, n)
	if err != nil {
		return nil, fmt.Errorf("cannot encode %d tokens: %w", n, err)
	}
	defer s.free()

	compute.SawNonFinite(e.dev) // forget what the device noticed in earlier work
	e.dev.Upload(s.x, rows)
	e.observe(0, s.x)
	for i := range e.layers {
		e.layers[i].forward(e, s)
		e.observe(i+1, s.x)
		if !compute.SawNonFinite(e.dev) {
			continue
		}

		if err := e.dev.Sync(); err != nil { // an operation was stopped half-way
			return nil, fmt.Errorf("cannot encode %d tokens: %w", n, err)
		}
		what := fmt.Sprintf("what the text encoder makes up to layer %d of %d", i+1, len(e.layers))
		return nil, &tensor.NotFiniteError{What: what}
	}

	e.dev.RMSNorm(s.x, s.x, e.norm, e.cfg.LayerNormEpsilon, nil)
	if err := e.dev.Download(rows, s.x); err != nil {
		return nil, fmt.Errorf("cannot encode %d tokens: %w", n, err)
	}
	return rows, nil
}

// observe shows a test the state after so many layers; the golden names them alike.
func (e *Encoder) observe(layer int, hidden compute.Mat) {
	if e.tap != nil {
		e.tap(layer, hidden)
	}
}

// lookup gathers the embeddings of ids, [len(ids), d], from the file's stored type.
func (e *Encoder) lookup(ids []int32) ([]float32, error) {
	d := e.cfg.DModel

	// Rows are read from the file one by one: a prompt has a few dozen of 256,384.
	size := d * e.embed.DType.Size()
	out := make([]float32, 0, len(ids)*d)
	for _, id := range ids {
		if id < 0 || int(id) >= e.cfg.VocabSize {
			return nil, fmt.Errorf("token id %d is outside the vocabulary of %d", id, e.cfg.VocabSize)
		}

		row := tensor.Tensor{DType: e.embed.DType, Shape: tensor.Shape{d},
			Data: e.embed.Data[int(id)*size : (int(id)+1)*size]}
		v, err := row.Float32()
		if err != nil {
			return nil, fmt.Errorf("cannot read the embedding of token %d: %w", id, err)
		}
		out = append(out, v...)
	}
	return out, nil
}

// forward is one block on s.x [n, d], in place: x += out(attention(norm(x))), then x +=
// down(gelu(gate(norm(x))) · up(norm(x))). T5's attention has no 1/√width in its logits, so Scale
// is 1, and positions enter as a bias per head and distance.
func (l *layer) forward(e *Encoder, s *scratch) {
	dev, eps, inner := e.dev, e.cfg.LayerNormEpsilon, e.cfg.NumHeads*e.cfg.DKV
	dev.RMSNorm(s.norm, s.x, l.attnNorm, eps, nil)
	dev.Linear(s.qkv, s.norm, l.qkv, compute.Epilogue{}) // [n, d] to [n, 3·inner]
	dev.Upload(s.bias, relativeBias(l.bias, e.cfg, s.x.Rows))

	// q, k and v are columns of [n, 3·inner].
	q, k := s.qkv.ColRange(0, inner), s.qkv.ColRange(inner, 2*inner)
	v := s.qkv.ColRange(2*inner, 3*inner)

	dev.Attention(s.attn, q, k, v,
		compute.AttentionArgs{Heads: e.cfg.NumHeads, Scale: 1, RelBias: &s.bias,
			DType: e.dtype})
	dev.Linear(s.x, s.attn, l.out, compute.Epilogue{Residual: &s.x})

	// Feed-forward: the gate's GELU multiplies up, [n, ff], in the product's epilogue.
	dev.RMSNorm(s.norm, s.x, l.ffNorm, eps, nil)
	dev.Linear(s.up, s.norm, l.up, compute.Epilogue{})
	dev.Linear(s.gate, s.norm, l.gate, compute.Epilogue{Act: compute.GELUTanh, Mul: &s.up})
	dev.Linear(s.x, s.gate, l.down, compute.Epilogue{Residual: &s.x})
}
