package umt5

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
)

// Encoder turns token ids into embeddings on one device.
type Encoder struct {
	dev    compute.Device
	cfg    model.TextEncoder
	dtype  compute.DType
	embed  tensor.Tensor // [vocab, d], read row by row from the file
	layers []layer
	norm   compute.Vector
	tap    func(layer int, hidden compute.Mat) // for tests
}

type layer struct {
	attnNorm, ffNorm compute.Vector
	qkv, out         compute.Linear
	gate, up, down   compute.Linear
	bias             []float32 // [buckets, heads]
}

// Load binds every weight of the text encoder; missing and unused ones are errors that name them.
// w stays in use: embeddings are read from it on demand. t is what products multiply.
func Load(dev compute.Device, cfg model.TextEncoder, w *model.Weights, t compute.DType) (*Encoder,
	error) {
	e := &Encoder{dev: dev, cfg: cfg, dtype: t}
	e.embed = w.Raw(embeddingName(w), cfg.VocabSize, cfg.DModel)
	b := model.NewBuilder(dev, w)
	b.DType = t
	for i := range cfg.NumLayers {
		e.layers = append(e.layers, loadLayer(b, cfg, i))
	}
	e.norm = b.Vector("encoder.final_layer_norm.weight", cfg.DModel)
	if err := b.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the text encoder: %w", err)
	}
	return e, nil
}

// embeddingName finds the embedding, which is written once or twice under two names.
func embeddingName(w *model.Weights) string {
	const shared, tied = "shared.weight", "encoder.embed_tokens.weight"
	switch {
	case w.Has(shared) && w.Has(tied):
		w.Ignore(tied)
		return shared
	case w.Has(tied):
		return tied
	}
	return shared
}

func loadLayer(b *model.Builder, cfg model.TextEncoder, i int) layer {
	d, inner := cfg.DModel, cfg.NumHeads*cfg.DKV
	at := fmt.Sprintf("encoder.block.%d.layer.0.", i)
	ff := fmt.Sprintf("encoder.block.%d.layer.1.", i)
	sa := at + "SelfAttention."
	return layer{
		attnNorm: b.Vector(at+"layer_norm.weight", d),
		ffNorm:   b.Vector(ff+"layer_norm.weight", d),
		qkv:      b.Fused([]string{sa + "q", sa + "k", sa + "v"}, inner, d, false),
		out:      b.Linear(sa+"o", d, inner, false),
		gate:     b.Linear(ff+"DenseReluDense.wi_0", cfg.DFF, d, false),
		up:       b.Linear(ff+"DenseReluDense.wi_1", cfg.DFF, d, false),
		down:     b.Linear(ff+"DenseReluDense.wo", d, cfg.DFF, false),
		bias: b.Take(sa+"relative_attention_bias.weight",
			cfg.RelativeAttentionNumBuckets, cfg.NumHeads),
	}
}

// Dim returns the width of an embedding.
func (e *Encoder) Dim() int { return e.cfg.DModel }

// Encode returns the embeddings [len(ids), Dim] after the final norm. An id outside the vocabulary
// and an empty prompt (there is always `</s>`) are errors. Where the device sees that values are
// not finite, a *tensor.NotFiniteError says up to which layer.
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
	compute.Flawed(e.dev) // of what came before
	e.dev.Upload(s.x, rows)
	e.observe(0, s.x)
	for i := range e.layers {
		e.layers[i].forward(e, s)
		e.observe(i+1, s.x)
		if !compute.Flawed(e.dev) {
			continue
		}
		if err := e.dev.Sync(); err != nil { // stopped
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

func (e *Encoder) observe(layer int, hidden compute.Mat) {
	if e.tap != nil {
		e.tap(layer, hidden)
	}
}

// lookup gathers the embeddings of ids: [len(ids), d].
func (e *Encoder) lookup(ids []int32) ([]float32, error) {
	d := e.cfg.DModel
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

// forward is one block: x += attention(norm(x)); x += feed-forward(norm(x)).
func (l *layer) forward(e *Encoder, s *scratch) {
	dev, eps, inner := e.dev, e.cfg.LayerNormEpsilon, e.cfg.NumHeads*e.cfg.DKV
	dev.RMSNorm(s.norm, s.x, l.attnNorm, eps, nil)
	dev.Linear(s.qkv, s.norm, l.qkv, compute.Epilogue{})
	dev.Upload(s.bias, relativeBias(l.bias, e.cfg, s.x.Rows))
	q, k := s.qkv.ColRange(0, inner), s.qkv.ColRange(inner, 2*inner)
	v := s.qkv.ColRange(2*inner, 3*inner)
	dev.Attention(s.attn, q, k, v,
		compute.AttentionArgs{Heads: e.cfg.NumHeads, Scale: 1, RelBias: &s.bias,
			DType: e.dtype})
	dev.Linear(s.x, s.attn, l.out, compute.Epilogue{Residual: &s.x})

	dev.RMSNorm(s.norm, s.x, l.ffNorm, eps, nil)
	dev.Linear(s.up, s.norm, l.up, compute.Epilogue{})
	dev.Linear(s.gate, s.norm, l.gate, compute.Epilogue{Act: compute.GELUTanh, Mul: &s.up})
	dev.Linear(s.x, s.gate, l.down, compute.Epilogue{Residual: &s.x})
}
