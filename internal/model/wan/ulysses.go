package wan

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
)

// Operations of a layer: q, k and v travel to the ranks of their heads, the output of both halves
// of the heads travels back.
const (
	opHalf      = 3
	opsPerLayer = opHalf + 2
)

// selfAttention reads s.norm and fills s.attn, both of the own tokens.
func (s *Sequence) selfAttention(ctx context.Context, tag collective.Tag, a *attention) error {
	d := s.t.cfg.Dim()
	if s.group.Size() == 1 {
		s.t.dev.Linear(s.qkv, s.norm, a.qkv, compute.Epilogue{})
		s.rotate(a, 0)
		s.rotate(a, 1)
		s.attend(s.attn, s.qkv, d, partition.Range{Lo: 0, Hi: s.t.cfg.NumAttentionHeads})
		return nil
	}
	if err := s.scatterHeads(ctx, tag, a); err != nil {
		return fmt.Errorf("cannot gather own heads: %w", err)
	}
	if err := s.scatterTokens(ctx, tag); err != nil {
		return fmt.Errorf("cannot gather own tokens: %w", err)
	}
	return nil
}

// part views q (0), k (1) or v (2) of the own tokens.
func (s *Sequence) part(i int) compute.Mat {
	d := s.t.cfg.Dim()
	return s.qkv.ColRange(i*d, (i+1)*d)
}

// rotate normalises and rotates q (0) or k (1).
func (s *Sequence) rotate(a *attention, i int) {
	m := s.part(i)
	s.t.dev.RMSNorm(m, m, []compute.Vector{a.normQ, a.normK}[i], s.t.cfg.Eps, &s.rope)
}

// attend runs heads [r.Lo, r.Hi) of q, k and v that lie side by side, w columns each.
func (s *Sequence) attend(dst, qkv compute.Mat, w int, r partition.Range) {
	lo, hi := r.Lo*s.t.cfg.AttentionHeadDim, r.Hi*s.t.cfg.AttentionHeadDim
	s.t.dev.Attention(dst.ColRange(lo, hi), qkv.ColRange(lo, hi), qkv.ColRange(w+lo, w+hi),
		qkv.ColRange(2*w+lo, 2*w+hi),
		compute.AttentionArgs{Heads: r.Len(), Scale: s.scale(), DType: s.t.dtype})
}

// columns returns the columns of heads within a width of all heads.
func (s *Sequence) columns(heads partition.Range) partition.Range {
	hd := s.t.cfg.AttentionHeadDim
	return partition.Range{Lo: heads.Lo * hd, Hi: heads.Hi * hd}
}

// scatterHeads computes v, k and q of the own tokens and gathers those of the own heads from every
// rank, in canonical token order, so that a row's sum over keys runs in the same order whatever
// the number of ranks: s.all [N, 3w]. While one travels the next is computed.
func (s *Sequence) scatterHeads(ctx context.Context, tag collective.Tag, a *attention) error {
	w := s.columns(s.heads[s.group.Rank()]).Len()
	x := s.newExchange(ctx)
	for i := 2; i >= 0; i-- {
		m := s.part(i)
		s.t.dev.Linear(m, s.norm, a.parts[i], compute.Epilogue{})
		if i < 2 {
			s.rotate(a, i)
		}
		op := collective.Tag{Step: tag.Step, Op: tag.Op + uint32(i)} //nolint:gosec // 0 to 2
		x.start(op, func(r int) compute.Mat {
			c := s.columns(s.heads[r])
			return m.ColRange(c.Lo, c.Hi)
		}, func(r int) compute.Mat {
			return s.all.RowRange(s.tokens[r].Lo, s.tokens[r].Hi).ColRange(i*w, (i+1)*w)
		})
	}
	return x.finish()
}

// half returns the first (0) or second (1) half of a rank's heads; the second may be empty.
func (s *Sequence) half(rank, i int) partition.Range { return halfOf(s.heads[rank], i) }

func halfOf(h partition.Range, i int) partition.Range {
	middle := h.Lo + (h.Len()+1)/2
	if i == 0 {
		return partition.Range{Lo: h.Lo, Hi: middle}
	}
	return partition.Range{Lo: middle, Hi: h.Hi}
}

// scatterTokens computes attention of the own heads and gathers the output of the own tokens from
// every rank: s.allOut [N, w] of every rank becomes s.attn [own, d]. While one half of the heads
// travels the other is computed.
func (s *Sequence) scatterTokens(ctx context.Context, tag collective.Tag) error {
	me := s.group.Rank()
	w, first := s.columns(s.heads[me]).Len(), s.heads[me].Lo
	x := s.newExchange(ctx)
	for i := range 2 {
		own := s.half(me, i)
		own.Lo, own.Hi = own.Lo-first, own.Hi-first
		if own.Len() > 0 {
			s.attend(s.allOut, s.all, w, own)
		}
		c := s.columns(own)
		op := collective.Tag{Step: tag.Step, Op: tag.Op + opHalf + uint32(i)} //nolint:gosec // 0, 1
		x.start(op, func(r int) compute.Mat {
			return s.allOut.RowRange(s.tokens[r].Lo, s.tokens[r].Hi).ColRange(c.Lo, c.Hi)
		}, func(r int) compute.Mat {
			c := s.columns(s.half(r, i))
			return s.attn.ColRange(c.Lo, c.Hi)
		})
	}
	return x.finish()
}
