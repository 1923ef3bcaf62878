package wan

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

// SequenceBytes returns the bytes of device memory that a Sequence and its passes take on one rank
// of a group, without allocating any: the same allocations run on a compute.Meter. With it a clip
// that does not fit is refused before anything is computed.
func (t *Transformer) SequenceBytes(g partition.Grid, rank int, tokens,
	heads []partition.Range) int64 {
	return t.sequenceBytes(g, rank, tokens, heads, nil)
}

// sequenceBytes is SequenceBytes, or where r is not nil CausalBytes.
func (t *Transformer) sequenceBytes(g partition.Grid, rank int, tokens, heads []partition.Range,
	r *Reach) int64 {
	m := &compute.Meter{Like: t.dev}
	s := &Sequence{t: t, tokens: tokens, heads: heads, own: tokens[rank], arena: model.NewArena(m)}
	s.allocate(g.Tokens(), heads[rank], r)

	// The device keeps each pass's timestep indexes, once for scale and once for shift.
	for range 2 {
		s.arena.Mat(1, s.own.Len())
	}

	// Devices of one process hand matrices over instead of bytes, which holds them longer.
	if _, gives := t.dev.(compute.Copier); gives && len(tokens) > 1 {
		s.allocateInFlight(rank, heads)
	}
	if w, takes := t.dev.(compute.Workspace); takes {
		// Twice, since the old workspace is there until the larger one is.
		return m.Peak() + 2*s.workBytes(w, g.Tokens(), heads[rank])
	}
	return m.Peak()
}

// workBytes returns the most scratch memory that a single operation of a pass takes, on top of the
// sequence's own. Operations run one after the other, so the largest counts.
func (s *Sequence) workBytes(w compute.Workspace, total int, heads partition.Range) int64 {
	cfg, n, t, large := s.t.cfg, s.own.Len(), s.t.dtype, s.t.large
	d := cfg.Dim()
	if s.cache != nil {
		total *= s.cache.reach.Blocks
	}

	// A product of an operand takes none.
	most := int64(0)
	for _, x := range []compute.Mat{s.in, s.norm, s.attn, s.up} {
		if !x.Operand() {
			most = max(most, w.LinearBytes(n, x.Cols, d, t), w.LinearBytes(n, x.Cols, d, large))
		}
	}
	if !cfg.CrossAttnNorm || s.t.ControlWidth() > 0 { // the residual stream itself is multiplied
		most = max(most, w.LinearBytes(n, d, d, t), w.LinearBytes(n, d, d, large))
	}

	return max(most, w.LinearBytes(TextTokens, cfg.TextDim, d, t),
		w.LinearBytes(n, max(1, s.t.ControlWidth()), d, t),
		w.AttentionBytes(total, heads.Len(), cfg.AttentionHeadDim, t, s.source(0, 1).Operand()),
		w.AttentionBytes(max(TextTokens, cfg.PosEmbedSeqLen), cfg.NumAttentionHeads,
			cfg.AttentionHeadDim, t, false))
}

// allocateInFlight takes the memory of matrices on their way to other devices of the process: at
// most two layers' parts of q, k and v, and one layer's attention output, which travels in two
// halves.
func (s *Sequence) allocateInFlight(rank int, heads []partition.Range) {
	inFlight := func(tokens, heads partition.Range) {
		n := tokens.Len() * s.columns(heads).Len() * s.bytes(compute.Mat{Rows: 1, Cols: 1})
		s.arena.Mat(1, (n+3)/4)
	}

	for r := range s.tokens {
		if r == rank {
			continue
		}
		for range 2 * 3 {
			inFlight(s.own, heads[r])
		}
		for i := range 2 {
			inFlight(s.tokens[r], halfOf(heads[rank], i))
		}
	}
}

// allocate takes the memory for a window of total tokens on the rank that owns the given heads,
// with a cache where r is not nil. SequenceBytes calls it too, so whatever Forward needs has to be
// allocated here.
func (s *Sequence) allocate(total int, heads partition.Range, r *Reach) {
	cfg, a, n := s.t.cfg, s.arena, s.own.Len()
	d, t := cfg.Dim(), s.t.large // what most products of the norms and of attention are of

	// Activations of the own tokens.
	s.in, s.out = a.Mat(n, s.t.TokenWidth()+s.t.ConditionWidth()), a.Mat(n, s.t.TokenWidth())
	s.hidden, s.norm, s.attn = a.Mat(n, d), a.Operand(n, d, 0, t), a.Operand(n, d, 0, t)
	s.up = a.Operand(n, cfg.FFNDim, 0, t)
	s.allocateHeads(total, heads, r)
	s.q2 = s.part(0) // which self-attention has done with by then
	if s.t.SeesPictures() {
		s.q2 = a.Mat(n, d)
	}

	s.control.allocate(s.t, a, n)

	// Modulation, a row for each distinct timestep.
	s.mod, s.outMod = a.Mat(timestepsMax, 6*d), a.Mat(timestepsMax, 2*d)
	s.freq, s.timeHidden = a.Mat(timestepsMax, cfg.FreqDim), a.Mat(timestepsMax, d)
	s.tembAll, s.tprojAll = a.Mat(timestepsMax, d), a.Mat(timestepsMax, 6*d)

	half := cfg.AttentionHeadDim / 2
	s.rope = compute.Rope{HeadDim: cfg.AttentionHeadDim, Cos: a.Mat(n, half), Sin: a.Mat(n, half)}
}

// allocateHeads takes the memory of q, k and v: see allocate. Products leave them in qkv and norms
// turn them there, until they go where attention reads them: to the ranks of their heads, into the
// cache, or, of a rank that is alone, to operands. Without those they stay.
func (s *Sequence) allocateHeads(total int, heads partition.Range, r *Reach) {
	cfg, a, n, t := s.t.cfg, s.arena, s.own.Len(), s.t.dtype
	d, hd := cfg.Dim(), cfg.AttentionHeadDim
	operand := func(rows, cols int) compute.Mat { return a.Operand(rows, cols, hd, t) }

	w := heads.Len() * hd
	if r != nil {
		s.cache = newCache(operand, *r, s.t.layers(), total, w)
	}
	if len(s.tokens) > 1 {
		s.qkv, s.all[0], s.allOut = a.Mat(n, 3*d), a.Mat(total, w), a.Operand(total, w, 0, t)
		if r == nil {
			s.all[1], s.all[2] = operand(total, w), operand(total, w)
		}
		return
	}

	switch {
	case r != nil: // values are computed into the cache
		s.qkv = a.Mat(n, 2*d)
	case a.Rounds(n, d, hd, t):
		s.qkv, s.k, s.v = a.Mat(n, 2*d), operand(n, d), operand(n, d)
	default:
		s.qkv = a.Mat(n, 3*d)
		s.k, s.v = s.part(1), s.part(2)
	}
}
