package wan

import (
	"errors"
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// Text is a prompt as the blocks see it: the cross-attention keys and values of every layer. They
// do not depend on the latent or the timestep, so they are computed once per job and branch. It
// must be freed, and may be shared by sequences of the same Transformer.
type Text struct {
	arena *model.Arena  // the memory of the text
	keys  []compute.Mat // per layer [n, d], after the key norm; those of control blocks come last
	vals  []compute.Mat // per layer [n, d]
	bias  float32       // added to the logit of the last key
	embed compute.Mat   // [n, d], after the text embedder
}

// Text projects the text encoder's embeddings [n, text_dim], n <= TextTokens, for all layers. The
// pipeline pads a prompt to TextTokens rows of zeros. All padding rows have the same key and value,
// so one such row whose logit is raised by log(count) gives the same softmax, at the cost of one
// token instead of hundreds.
func (t *Transformer) Text(embeds []float32) (*Text, error) {
	d, in := t.cfg.Dim(), t.cfg.TextDim
	n := len(embeds) / in
	if len(embeds) != n*in || n > TextTokens {
		return nil, fmt.Errorf("%d values are not a text of up to %d tokens x %d",
			len(embeds), TextTokens, in)
	}

	x := &Text{}
	rows := embeds
	if n < TextTokens {
		rows = append(append(make([]float32, 0, (n+1)*in), embeds...), make([]float32, in)...)
		x.bias = float32(math.Log(float64(TextTokens - n)))
		n++
	}

	x.arena = model.NewArena(t.dev)
	work := model.NewArena(t.dev)
	defer work.Free()
	src, hidden := work.Mat(n, in), work.Mat(n, d)
	x.allocate(n, d, t.layers())
	if err := errors.Join(work.Err(), x.arena.Err()); err != nil {
		x.arena.Free()
		return nil, fmt.Errorf("cannot hold the text of %d layers: %w", t.layers(), err)
	}

	t.dev.Upload(src, rows)
	t.dev.Linear(hidden, src, t.text1, compute.Epilogue{Act: compute.GELUTanh}) // [n, in] to [n, d]
	t.dev.Linear(x.embed, hidden, t.text2, compute.Epilogue{})

	// Every layer reads the same embedding, through its own keys and values.
	for i := range t.layers() {
		t.projectText(x, i)
	}
	return x, t.dev.Sync()
}

// allocate takes the memory for n tokens of width d in so many layers. Until projectText, keys and
// vals of a layer are both the whole matrix [n, 2d].
func (x *Text) allocate(n, d, layers int) {
	x.embed = x.arena.Mat(n, d)
	for range layers {
		kv := x.arena.Mat(n, 2*d)
		x.keys, x.vals = append(x.keys, kv), append(x.vals, kv)
	}
}

// TextBytes returns the bytes of device memory that a Text of a prompt of n tokens holds, and those
// that making it takes on top, for a moment.
func (t *Transformer) TextBytes(n int) (held, work int64) {
	n = min(n+1, TextTokens) // one row of padding
	m, w := &compute.Meter{}, &compute.Meter{}
	x, a := &Text{arena: model.NewArena(m)}, model.NewArena(w)
	x.allocate(n, t.cfg.Dim(), t.layers())
	a.Mat(n, t.cfg.TextDim)
	a.Mat(n, t.cfg.Dim())
	return m.Peak(), w.Peak()
}

// projectText fills layer i's keys and values from the embedded text: one product [n, d] to [n,
// 2d], whose halves are the keys, which are normed, and the values.
func (t *Transformer) projectText(x *Text, i int) {
	d, kv, a := t.cfg.Dim(), x.keys[i], &t.layer(i).cross
	t.dev.Linear(kv, x.embed, a.kv, compute.Epilogue{})
	x.keys[i], x.vals[i] = kv.ColRange(0, d), kv.ColRange(d, 2*d)
	t.dev.RMSNorm(x.keys[i], x.keys[i], a.normK, t.cfg.Eps, nil)
}

// Free gives the device's memory back; no pass may use the text afterwards.
func (x *Text) Free() { x.arena.Free() }
