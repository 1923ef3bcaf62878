package umt5

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
)

// Encoder turns token ids into embeddings on one device. The layers' weights are packed; or on a
// device that multiplies with them where their file is mapped, nothing is packed, and they are read
// as they are used; or they are streamed: each layer is packed when it is needed, and dropped. They
// are read once for several prompts. The embedding table, a fifth of the published model, stays in
// the file. An Encoder belongs to one goroutine.
type Encoder struct {
	dev      compute.Device                      // that computes
	cfg      model.TextEncoderConfig             // as in text_encoder/config.json
	dtype    compute.DType                       // of products
	weights  *model.Weights                      // that layers are made from
	embed    tensor.Tensor                       // [vocab, d], read row by row from the file
	layers   []layer                             // in their order
	streamed bool                                // layers have no products between uses
	norm     compute.Vector                      // [d], after the last layer
	tap      func(layer int, hidden compute.Mat) // sees the state after each layer, in tests
}

// layer is a UMT5Block: self-attention, then the feed-forward, each after a norm. inner is the
// width of all heads together, heads · d_kv.
type layer struct {
	products
	attnNorm, ffNorm compute.Vector // [d]
	bias             []float32      // [buckets, heads], spread over distances for each prompt
}

// products are the weights of a layer that take memory.
type products struct {
	qkv, out       compute.Linear // [3·inner, d], [d, inner]
	gate, up, down compute.Linear // [ff, d], [ff, d], [d, ff]
}

// Load binds every weight of the text encoder; missing and unused ones are errors that name them. w
// has to stay open, since it is read on demand. t is the type that products multiply.
func Load(dev compute.Device, cfg model.TextEncoderConfig, w *model.Weights, t compute.DType) (
	*Encoder, error) {
	return bind(dev, cfg, w, t, false)
}

// Stream is Load for a device that is to hold the weights of two layers at a time, which takes as
// long as loading whenever prompts are encoded. The device has to be a compute.Dropper.
func Stream(dev compute.Device, cfg model.TextEncoderConfig, w *model.Weights, t compute.DType) (
	*Encoder, error) {
	if _, ok := dev.(compute.Dropper); !ok {
		return nil, fmt.Errorf("cannot stream the text encoder: %s cannot drop weights", dev.Name())
	}
	return bind(dev, cfg, w, t, true)
}

// bind is Load or Stream.
func bind(dev compute.Device, cfg model.TextEncoderConfig, w *model.Weights, t compute.DType,
	streamed bool) (*Encoder, error) {
	e := &Encoder{dev: dev, cfg: cfg, dtype: t, weights: w, streamed: streamed}
	e.embed = w.Raw(embeddingName(w))
	b := e.builder()
	for i := range cfg.NumLayers {
		e.layers = append(e.layers, loadLayer(b, i))
		if !streamed {
			e.layers[i].products = loadProducts(b, i)
			continue
		}
		for _, name := range productNames(i) {
			w.Raw(name + ".weight") // it is there, and will be used
		}
	}
	e.norm = b.Vector("encoder.final_layer_norm.weight")

	// What stops loading must not stop the layers that are packed later.
	defer w.StopWhen(nil)
	if err := b.Finish(); err != nil {
		return nil, fmt.Errorf("cannot load the text encoder: %w", err)
	}
	return e, nil
}

// builder packs, or binds, weights as the encoder multiplies them.
func (e *Encoder) builder() *model.Builder {
	b := model.NewBuilder(e.dev, e.weights)
	b.DType, b.InFile = e.dtype, !e.streamed
	return b
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

// layerPrefix is what the names of layer i's weights begin with.
func layerPrefix(i int) string { return fmt.Sprintf("encoder.block.%d.", i) }

// loadLayer binds what stays of block i.
func loadLayer(b *model.Builder, i int) layer {
	at := layerPrefix(i) + "layer."
	return layer{
		attnNorm: b.Vector(at + "0.layer_norm.weight"),
		ffNorm:   b.Vector(at + "1.layer_norm.weight"),
		bias:     b.Take(at + "0.SelfAttention.relative_attention_bias.weight"),
	}
}

// productNames are the linear layers of block i: q, k, v, o, the feed-forward's gate, up and down.
func productNames(i int) [7]string {
	at := layerPrefix(i) + "layer."
	attn, ff := at+"0.SelfAttention.", at+"1.DenseReluDense."
	return [7]string{attn + "q", attn + "k", attn + "v", attn + "o", ff + "wi_0", ff + "wi_1",
		ff + "wo"}
}

// loadProducts binds the products of block i; q, k and v become one of the same input.
func loadProducts(b *model.Builder, i int) products {
	n := productNames(i)
	return products{qkv: b.Linear(n[0], n[1], n[2]), out: b.Linear(n[3]),
		gate: b.Linear(n[4]), up: b.Linear(n[5]), down: b.Linear(n[6])}
}

// fetch packs the products of layer i where they are streamed, and drop frees them.
func (e *Encoder) fetch(i int) error {
	if !e.streamed || i == len(e.layers) {
		return nil
	}
	b := e.builder()
	e.layers[i].products = loadProducts(b, i)
	if err := b.Finish(); err != nil {
		return fmt.Errorf("cannot load layer %d of the text encoder: %w", i, err)
	}
	return nil
}

func (e *Encoder) drop(i int) {
	dev, ok := e.dev.(compute.Dropper)
	if !e.streamed || !ok {
		return
	}
	p := &e.layers[i].products
	for _, w := range []compute.Linear{p.qkv, p.out, p.gate, p.up, p.down} {
		if w != nil {
			dev.Drop(w)
		}
	}
	*p = products{}
}

// batchTokens is how many tokens go through the layers together, at most, unless one prompt has
// more: it bounds the memory that encoding takes, 185 kB a token in the published model.
const batchTokens = 1024

// Encode returns the embeddings [tokens, d] of each prompt's token ids, after the final norm. The
// layers are read once for as many prompts as fit; an embedding does not depend on the others. An
// id outside the vocabulary is an error, and so is an empty prompt: there is always `</s>`. If the
// device notices that values are not finite, a *tensor.NotFiniteError says up to which layer. Once
// ctx ends, Encode does before the next layer, with its cause.
func (e *Encoder) Encode(ctx context.Context, prompts [][]int32) ([][]float32, error) {
	var embeds [][]float32
	for _, batch := range batches(prompts) {
		more, err := e.encode(ctx, batch)
		if err != nil {
			return nil, err
		}
		embeds = append(embeds, more...)
	}
	return embeds, nil
}

// batches cuts prompts into runs of up to batchTokens tokens, or of one prompt.
func batches(prompts [][]int32) (all [][][]int32) {
	tokens := 0
	for _, p := range prompts {
		if tokens += len(p); len(all) == 0 || tokens > batchTokens {
			all, tokens = append(all, nil), len(p)
		}
		all[len(all)-1] = append(all[len(all)-1], p)
	}
	return all
}

// encode is Encode for a batch: its tokens are rows of the same matrices.
func (e *Encoder) encode(ctx context.Context, prompts [][]int32) ([][]float32, error) {
	rows, err := e.lookup(prompts)
	if err != nil {
		return nil, err
	}

	s, err := newScratch(e.dev, e.cfg, prompts)
	n := len(rows) / e.cfg.DModel
	if err != nil {
		return nil, fmt.Errorf("cannot encode %d tokens: %w", n, err)
	}
	defer s.free()

	compute.SawNonFinite(e.dev) // forget what the device noticed in earlier work
	e.dev.Upload(s.x, rows)
	e.observe(0, s.x)
	if err := e.forward(ctx, s); err != nil {
		return nil, err
	}

	e.dev.RMSNorm(s.x, s.x, e.norm, e.cfg.LayerNormEpsilon, nil)
	if err := e.dev.Download(rows, s.x); err != nil {
		return nil, fmt.Errorf("cannot encode %d tokens: %w", n, err)
	}

	var embeds [][]float32
	for _, p := range prompts {
		end := len(p) * e.cfg.DModel
		embeds, rows = append(embeds, rows[:end:end]), rows[end:]
	}
	return embeds, nil
}

// forward is all layers, on s.x in place. While one computes, the system reads the next, or that is
// packed.
func (e *Encoder) forward(ctx context.Context, s *scratch) error {
	defer func() {
		for i := range e.layers {
			e.drop(i)
		}
	}()
	e.weights.StopWhen(func() error { return context.Cause(ctx) })
	defer e.weights.StopWhen(nil)
	e.weights.WillNeed(layerPrefix(0))
	if err := e.fetch(0); err != nil {
		return err
	}

	for i := range e.layers {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		e.weights.WillNeed(layerPrefix(i + 1))
		e.layers[i].forward(e, s)
		if err := e.fetch(i + 1); err != nil {
			return err
		}
		e.drop(i)
		e.weights.Leave(layerPrefix(i))
		if err := e.check(i, s); err != nil {
			return err
		}
	}
	return nil
}

// check shows the state after layer i to a test, and fails if the device has seen values that are
// not finite, as far as it notices.
func (e *Encoder) check(i int, s *scratch) error {
	e.observe(i+1, s.x)
	if !compute.SawNonFinite(e.dev) {
		return nil
	}
	if err := e.dev.Sync(); err != nil { // an operation was stopped half-way
		return fmt.Errorf("cannot encode %d tokens: %w", s.x.Rows, err)
	}
	what := fmt.Sprintf("what the text encoder makes up to layer %d of %d", i+1, len(e.layers))
	return &tensor.NotFiniteError{What: what}
}

// observe shows a test the state after so many layers; the golden names them alike.
func (e *Encoder) observe(layer int, hidden compute.Mat) {
	if e.tap != nil {
		e.tap(layer, hidden)
	}
}

// lookup gathers the embeddings of all ids, [tokens, d], from the file's stored type.
func (e *Encoder) lookup(prompts [][]int32) ([]float32, error) {
	d := e.cfg.DModel

	// Rows are read from the file one by one: a prompt has a few dozen of 256,384.
	size := d * e.embed.DType.Size()
	var out []float32
	for _, ids := range prompts {
		if len(ids) == 0 {
			return nil, fmt.Errorf("cannot encode a prompt without tokens")
		}
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

	// q, k and v are columns of [n, 3·inner]. Tokens attend to those of their own prompt.
	q, k := s.qkv.ColRange(0, inner), s.qkv.ColRange(inner, 2*inner)
	v := s.qkv.ColRange(2*inner, 3*inner)

	at := 0
	for i := range s.bias {
		bias := &s.bias[i]
		to := at + (bias.Cols+1)/2
		dev.Upload(*bias, relativeBias(l.bias, e.cfg, to-at))
		dev.Attention(s.attn.RowRange(at, to), q.RowRange(at, to), k.RowRange(at, to),
			v.RowRange(at, to), compute.AttentionArgs{Heads: e.cfg.NumHeads, Scale: 1, RelBias: bias,
				DType: e.dtype})
		at = to
	}
	dev.Linear(s.x, s.attn, l.out, compute.Epilogue{Residual: &s.x})

	// Feed-forward: the gate's GELU multiplies up, [n, ff], in the product's epilogue.
	dev.RMSNorm(s.norm, s.x, l.ffNorm, eps, nil)
	dev.Linear(s.up, s.norm, l.up, compute.Epilogue{})
	dev.Linear(s.gate, s.norm, l.gate, compute.Epilogue{Act: compute.GELUTanh, Mul: &s.up})
	dev.Linear(s.x, s.gate, l.down, compute.Epilogue{Residual: &s.x})
}
