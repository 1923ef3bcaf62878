package wan

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
)

// Operations of a layer, counted from its tag: q, k and v (0 to 2) travel to the ranks of their
// heads; then the output of either half of the heads travels back.
const (
	opHalf      = 3
	opsPerLayer = opHalf + 2
)

// selfAttention reads s.norm [n, d] and fills s.attn [n, d], both of the own tokens. In a group it
// is DeepSpeed Ulysses: an all-to-all turns "own tokens, all heads" into "all tokens, own heads",
// and a second one turns the output back.
func (s *Sequence) selfAttention(ctx context.Context, tag collective.Tag, layer int) error {
	a := &s.t.layer(layer).self
	if s.group.Size() == 1 {
		s.project(layer, a)
		s.rotate(a, 0, s.target(layer, 0), s.part(0))
		s.rotate(a, 1, s.target(layer, 1), s.part(1))
		s.attend(s.attn, layer, partition.Range{Lo: 0, Hi: s.t.cfg.NumAttentionHeads})
		return nil
	}

	if err := s.scatterHeads(ctx, tag, layer, a); err != nil {
		return fmt.Errorf("cannot gather own heads: %w", err)
	}
	if err := s.scatterTokens(ctx, tag, layer); err != nil {
		return fmt.Errorf("cannot gather own tokens: %w", err)
	}
	return nil
}

// project computes q, k and v of a rank that is alone: in one product, unless values belong into a
// cache or an operand.
func (s *Sequence) project(layer int, a *attention) {
	v := s.target(layer, 2)
	if v.Mem == s.qkv.Mem {
		s.t.dev.Linear(s.qkv, s.norm, a.qkv, compute.Epilogue{})
		return
	}
	s.t.dev.Linear(s.qkv.ColRange(0, 2*s.t.cfg.Dim()), s.norm, a.qk, compute.Epilogue{})
	s.t.dev.Linear(v, s.norm, a.parts[2], compute.Epilogue{})
}

// part views q (0), k (1) or v (2) of the own tokens: [n, d] of qkv [n, 3d].
func (s *Sequence) part(i int) compute.Mat {
	d := s.t.cfg.Dim()
	return s.qkv.ColRange(i*d, (i+1)*d)
}

// rotate normalises q (0) or k (1) of the own tokens, m, over all heads and turns it by the rotary
// positions: to dst, which may be m.
func (s *Sequence) rotate(a *attention, i int, dst, m compute.Mat) {
	s.t.dev.RMSNorm(dst, m, []compute.Vector{a.normQ, a.normK}[i], s.t.cfg.Eps, &s.rope)
}

// attend computes attention for heads [r.Lo, r.Hi), counted from the first own one, into their
// columns of dst.
func (s *Sequence) attend(dst compute.Mat, layer int, r partition.Range) {
	c := s.columns(r)
	of := func(m compute.Mat) compute.Mat { return m.ColRange(c.Lo, c.Hi) }
	s.t.dev.Attention(of(dst), of(s.target(layer, 0)), of(s.source(layer, 1)),
		of(s.source(layer, 2)),
		compute.AttentionArgs{Heads: r.Len(), Scale: s.scale(), DType: s.t.dtype, Tiles: s.listed})
}

// columns returns the columns that a range of heads takes up in a matrix of all heads.
func (s *Sequence) columns(heads partition.Range) partition.Range {
	hd := s.t.cfg.AttentionHeadDim
	return partition.Range{Lo: heads.Lo * hd, Hi: heads.Hi * hd}
}

// scatterHeads computes v, k and q [n, d] of the own tokens and gathers those of the own heads from
// every rank, in the order of the tokens: [N, w] each. In that order a row's sum over keys has the
// same bits for any number of ranks. While one of the three travels, the next is computed; v goes
// first, as it needs no norm.
func (s *Sequence) scatterHeads(ctx context.Context, tag collective.Tag, layer int,
	a *attention) error {
	x := s.newExchange(ctx)

	// Own tokens, all heads [n, d], to all tokens, own heads [N, w], for v, k and q in turn.
	for i := 2; i >= 0; i-- {
		m := s.part(i) // [n, d]
		s.t.dev.Linear(m, s.norm, a.parts[i], compute.Epilogue{})
		if i < 2 {
			s.rotate(a, i, m, m)
		}
		here := s.target(layer, i) // [N, w]

		tagged := collective.Tag{Step: tag.Step, Op: tag.Op + uint32(i)} //nolint:gosec // 0 to 2
		x.start(tagged, func(r int) compute.Mat {
			c := s.columns(s.heads[r])
			return m.ColRange(c.Lo, c.Hi)
		}, func(r int) compute.Mat {
			return here.RowRange(s.tokens[r].Lo, s.tokens[r].Hi)
		})
	}
	return x.finish()
}

// half returns the first (0) or second (1) half of a rank's heads. The second is empty where a rank
// has one head.
func (s *Sequence) half(rank, i int) partition.Range { return halfOf(s.heads[rank], i) }

// halfOf cuts a range of heads in two, the larger half first.
func halfOf(h partition.Range, i int) partition.Range {
	middle := h.Lo + (h.Len()+1)/2
	if i == 0 {
		return partition.Range{Lo: h.Lo, Hi: middle}
	}
	return partition.Range{Lo: middle, Hi: h.Hi}
}

// scatterTokens computes attention of the own heads over all tokens, s.allOut [N, w], and gathers
// the output of the own tokens for all heads from every rank: s.attn [n, d]. While one half of the
// heads travels the other is computed.
func (s *Sequence) scatterTokens(ctx context.Context, tag collective.Tag, layer int) error {
	me := s.group.Rank()
	first := s.heads[me].Lo

	x := s.newExchange(ctx)
	for i := range 2 {
		// All tokens, own heads [N, w], to own tokens, all heads [n, d].
		own := s.half(me, i)
		own.Lo, own.Hi = own.Lo-first, own.Hi-first // heads within those of this rank
		if own.Len() > 0 {
			s.attend(s.allOut, layer, own)
		}

		c := s.columns(own)
		tagged := collective.Tag{Step: tag.Step, Op: tag.Op + opHalf + uint32(i)} //nolint:gosec // 0, 1
		x.start(tagged, func(r int) compute.Mat {
			return s.allOut.RowRange(s.tokens[r].Lo, s.tokens[r].Hi).ColRange(c.Lo, c.Hi)
		}, func(r int) compute.Mat {
			c := s.columns(s.half(r, i))
			return s.attn.ColRange(c.Lo, c.Hi)
		})
	}
	return x.finish()
}
