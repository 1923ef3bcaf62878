package umt5

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// scratch is the device memory of one Encode call over n tokens.
type scratch struct {
	arena     *model.Arena
	x, norm   compute.Mat // [n, d]: the state, and its norm
	qkv, attn compute.Mat // [n, 3·inner], [n, inner]
	gate, up  compute.Mat // [n, ff]
	bias      compute.Mat // [heads, 2n-1]: the current layer's relative positions
}

// newScratch allocates the memory for n tokens on dev; compute.ErrMemory where it does not fit.
func newScratch(dev compute.Device, cfg model.TextEncoderConfig, n int) (*scratch, error) {
	inner := cfg.NumHeads * cfg.DKV
	a := model.NewArena(dev)
	s := &scratch{
		arena: a,
		x:     a.Mat(n, cfg.DModel), norm: a.Mat(n, cfg.DModel),
		qkv: a.Mat(n, 3*inner), attn: a.Mat(n, inner),
		gate: a.Mat(n, cfg.DFF), up: a.Mat(n, cfg.DFF),
		bias: a.Mat(cfg.NumHeads, 2*n-1),
	}
	return s, a.Err()
}

// Bytes returns the bytes of device memory that encoding n tokens takes, without allocating any.
// The workspace counts twice, since the old one is there until a larger one is.
func (e *Encoder) Bytes(n int) int64 {
	m := &compute.Meter{}
	_, _ = newScratch(m, e.cfg, n) // a Meter refuses nothing
	return m.Peak() + 2*e.workBytes(n)
}

// workBytes returns the most scratch memory that a single operation takes for itself.
func (e *Encoder) workBytes(n int) int64 {
	w, takes := e.dev.(compute.Workspace)
	if !takes {
		return 0
	}

	// The products of a block, and its attention; the largest decides.
	cfg, t := e.cfg, e.dtype
	d, inner := cfg.DModel, cfg.NumHeads*cfg.DKV
	return max(w.LinearBytes(n, d, 3*inner, t), w.LinearBytes(n, inner, d, t),
		w.LinearBytes(n, d, cfg.DFF, t), w.LinearBytes(n, cfg.DFF, d, t),
		w.AttentionBytes(n, cfg.NumHeads, cfg.DKV, t))
}

func (s *scratch) free() { s.arena.Free() }
