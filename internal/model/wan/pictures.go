package wan

import (
	"errors"
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// pictureEps is added to the variance by the two norms of the picture embedder: torch's default,
// whatever the model's configuration says of its other norms.
const pictureEps = 1e-5

// pictureEmbedder is the weights of a WanImageEmbedding, which projects the embeddings of pictures
// for the cross-attention of the blocks: a perceptron between two norms.
type pictureEmbedder struct {
	norm1g, norm1b compute.Vector // [image_dim]
	up             compute.Linear // [image_dim, image_dim]
	down           compute.Linear // [d, image_dim]
	norm2g, norm2b compute.Vector // [d]
	positions      []float32      // [tokens, image_dim] of two pictures; nil: one picture, without
}

// loadPictures binds the picture embedder, which most models lack.
func (t *Transformer) loadPictures(b *model.Builder) {
	if !t.SeesPictures() {
		return
	}
	const at = "condition_embedder.image_embedder."
	t.embedder = pictureEmbedder{
		norm1g: b.Vector(at + "norm1.weight"), norm1b: b.Vector(at + "norm1.bias"),
		up:     b.Linear(at + "ff.net.0.proj"),
		down:   b.Linear(at + "ff.net.2"),
		norm2g: b.Vector(at + "norm2.weight"), norm2b: b.Vector(at + "norm2.bias"),
	}
	if t.cfg.PosEmbedSeqLen > 0 {
		t.embedder.positions = b.Take(at + "pos_embed")
	}
}

// SeesPictures reports whether cross-attention sees embeddings of pictures beside the text.
func (t *Transformer) SeesPictures() bool { return t.cfg.ImageDim > 0 }

// Pictures are the pictures of a clip as the blocks see them: keys and values of every layer, which
// cross-attention reads beside those of the text. They depend on neither prompt nor timestep. They
// must be freed, and may be shared by sequences of the same Transformer.
type Pictures struct {
	arena *model.Arena
	keys  []compute.Mat // per layer [n, d], after the key norm
	vals  []compute.Mat // per layer [n, d]
}

// Pictures projects the image encoder's embeddings of a clip's pictures, one after the other,
// [n, image_dim], for all layers. A model with positions takes as many tokens as it has positions,
// other models any number.
func (t *Transformer) Pictures(embeds []float32) (*Pictures, error) {
	d, in, e := t.cfg.Dim(), t.cfg.ImageDim, &t.embedder
	n := len(embeds) / max(1, in)
	if n == 0 || len(embeds) != n*in || e.positions != nil && len(e.positions) != n*in {
		return nil, fmt.Errorf("%d values are no pictures of this model: [%d, %d] are", len(embeds),
			max(1, t.cfg.PosEmbedSeqLen), in)
	}

	x := &Pictures{arena: model.NewArena(t.dev)}
	work := model.NewArena(t.dev)
	defer work.Free()
	src, hidden, out := t.pictureWork(work, n)
	x.allocate(n, d, t.layers())
	if err := errors.Join(work.Err(), x.arena.Err()); err != nil {
		x.arena.Free()
		return nil, fmt.Errorf("cannot hold the pictures of %d layers: %w", t.layers(), err)
	}

	// [n, image_dim] to [n, d].
	t.dev.Upload(src, embeds)
	if e.positions != nil {
		t.dev.Upload(hidden, e.positions)
		t.dev.Add(src, src, hidden)
	}

	t.dev.LayerNorm(src, src, compute.Norm{Eps: pictureEps, Gain: e.norm1g, Bias: e.norm1b})
	t.dev.Linear(hidden, src, e.up, compute.Epilogue{Act: compute.GELU})
	t.dev.Linear(out, hidden, e.down, compute.Epilogue{})
	t.dev.LayerNorm(out, out, compute.Norm{Eps: pictureEps, Gain: e.norm2g, Bias: e.norm2b})

	for i := range t.layers() {
		a := &t.layer(i).cross
		t.dev.Linear(x.keys[i], out, a.pictureK, compute.Epilogue{})
		t.dev.RMSNorm(x.keys[i], x.keys[i], a.normPictureK, t.cfg.Eps, nil)
		t.dev.Linear(x.vals[i], out, a.pictureV, compute.Epilogue{})
	}
	return x, t.dev.Sync()
}

// pictureWork takes the memory of the embedder for n tokens.
func (t *Transformer) pictureWork(a *model.Arena, n int) (src, hidden, out compute.Mat) {
	in := t.cfg.ImageDim
	return a.Mat(n, in), a.Mat(n, in), a.Mat(n, t.cfg.Dim())
}

// allocate takes the memory for n tokens of width d in so many layers.
func (x *Pictures) allocate(n, d, layers int) {
	for range layers {
		x.keys = append(x.keys, x.arena.Mat(n, d))
		x.vals = append(x.vals, x.arena.Mat(n, d))
	}
}

// PicturesBytes returns the bytes of device memory that Pictures of n tokens hold, and those that
// making them takes on top, for a moment.
func (t *Transformer) PicturesBytes(n int) (held, work int64) {
	m, w := &compute.Meter{}, &compute.Meter{}
	(&Pictures{arena: model.NewArena(m)}).allocate(n, t.cfg.Dim(), t.layers())
	t.pictureWork(model.NewArena(w), n)
	return m.Peak(), w.Peak()
}

// Free gives the device's memory back; no pass may use the pictures afterwards.
func (x *Pictures) Free() { x.arena.Free() }

// See sets the pictures of the passes to come. A model that sees pictures makes no pass before it.
func (s *Sequence) See(x *Pictures) { s.pictures = x }

// attendTo fills s.attn [n, d] with what layer i attends to, by the queries s.q2, in the text and,
// where the pass has some, in the pictures: their sum. s.qkv, which self-attention has done with,
// is overwritten.
func (s *Sequence) attendTo(i int, text *Text) {
	dev, args := s.t.dev, compute.AttentionArgs{Heads: s.t.cfg.NumAttentionHeads, Scale: s.scale(),
		DType: s.t.dtype}
	ofText := args
	ofText.LastKeyBias = text.bias
	if s.pictures == nil {
		dev.Attention(s.attn, s.q2, text.keys[i], text.vals[i], ofText)
		return
	}
	inText, inPictures := s.part(0), s.part(1)
	dev.Attention(inText, s.q2, text.keys[i], text.vals[i], ofText)
	dev.Attention(inPictures, s.q2, s.pictures.keys[i], s.pictures.vals[i], args)
	dev.Add(s.attn, inText, inPictures)
}
