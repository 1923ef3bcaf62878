package umt5

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// scratch is the device memory of a batch of prompts with n tokens together.
type scratch struct {
	arena     *model.Arena
	x, norm   compute.Mat   // [n, d]: the state, and its norm
	qkv, attn compute.Mat   // [n, 3·inner], [n, inner]
	gate, up  compute.Mat   // [n, ff]
	bias      []compute.Mat // per prompt [heads, 2·tokens-1]: the current layer's relative positions
}

// newScratch allocates the memory for a batch on dev; compute.ErrMemory where it does not fit.
func newScratch(dev compute.Device, cfg model.TextEncoderConfig, prompts [][]int32) (*scratch,
	error) {
	inner, n := cfg.NumHeads*cfg.DKV, tokens(prompts)
	a := model.NewArena(dev)
	s := &scratch{
		arena: a,
		x:     a.Mat(n, cfg.DModel), norm: a.Mat(n, cfg.DModel),
		qkv: a.Mat(n, 3*inner), attn: a.Mat(n, inner),
		gate: a.Mat(n, cfg.DFF), up: a.Mat(n, cfg.DFF),
	}
	for _, p := range prompts {
		s.bias = append(s.bias, a.Mat(cfg.NumHeads, 2*len(p)-1))
	}
	return s, a.Err()
}

// tokens returns how many tokens prompts have together.
func tokens(prompts [][]int32) (n int) {
	for _, p := range prompts {
		n += len(p)
	}
	return n
}

// Bytes returns the bytes of device memory that encoding prompts takes, without allocating any: two
// layers where they are streamed, and one's largest weight, which is there as float32 while it is
// packed. The workspace counts twice, since the old one is there until a larger one is.
func (e *Encoder) Bytes(prompts [][]int32) int64 {
	most := int64(0)
	for _, batch := range batches(prompts) {
		m := &compute.Meter{}
		_, _ = newScratch(m, e.cfg, batch) // a Meter refuses nothing
		most = max(most, m.Peak()+2*e.workBytes(tokens(batch)))
	}
	if e.streamed {
		inner := e.cfg.NumHeads * e.cfg.DKV
		most += 2*LayerBytes(e.cfg, e.dtype) + int64(4*e.cfg.DModel*max(3*inner, e.cfg.DFF))
	}
	return most
}

// beyond is what a GPU's kernels may read after the end of a weight, in bytes, at most.
const beyond = 64 << 10

// LayerBytes returns how many bytes of a GPU the five weights of a layer take, at most, for
// products of type t.
func LayerBytes(cfg model.TextEncoderConfig, t compute.DType) int64 {
	size := 4
	if t == compute.BF16 {
		size = 2
	}
	return int64(size*cfg.DModel*(4*cfg.NumHeads*cfg.DKV+3*cfg.DFF) + 5*beyond)
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
		w.AttentionBytes(n, cfg.NumHeads, cfg.DKV, t, false))
}

func (s *scratch) free() { s.arena.Free() }
