package wan

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// selfAttention reads s.qkv and fills s.attn, both of the own tokens. In between, q, k and v of
// the own heads gather from every rank in canonical token order, so that a row's sum over keys
// runs in the same order whatever the number of ranks.
func (s *Sequence) selfAttention(ctx context.Context, tag collective.Tag) error {
	d, hd := s.t.cfg.Dim(), s.t.cfg.AttentionHeadDim
	args := compute.AttentionArgs{Heads: s.t.cfg.NumAttentionHeads, Scale: s.scale(),
		DType: s.t.dtype}
	if s.group.Size() == 1 {
		s.attend(s.attn, s.qkv, d, args)
		return nil
	}
	if err := s.scatterHeads(ctx, tag); err != nil {
		return fmt.Errorf("cannot gather own heads: %w", err)
	}
	args.Heads = s.heads[s.group.Rank()].Len()
	w := args.Heads * hd
	s.attend(s.allOut, s.all, w, args)
	back := collective.Tag{Step: tag.Step, Op: tag.Op + 1}
	if err := s.scatterTokens(ctx, back); err != nil {
		return fmt.Errorf("cannot gather own tokens: %w", err)
	}
	return nil
}

// attend runs attention on q, k and v that lie side by side, w columns each.
func (s *Sequence) attend(dst, qkv compute.Mat, w int, args compute.AttentionArgs) {
	q, k, v := qkv.ColRange(0, w), qkv.ColRange(w, 2*w), qkv.ColRange(2*w, 3*w)
	s.t.dev.Attention(dst, q, k, v, args)
}

// columns returns a rank's head columns within a width of all heads.
func (s *Sequence) columns(rank int) partition.Range {
	hd := s.t.cfg.AttentionHeadDim
	return partition.Range{Lo: s.heads[rank].Lo * hd, Hi: s.heads[rank].Hi * hd}
}

// scatterHeads is the all-to-all that scatters heads and gathers tokens: s.qkv [own, 3d] of every
// rank becomes s.all [N, 3w].
func (s *Sequence) scatterHeads(ctx context.Context, tag collective.Tag) error {
	d, me := s.t.cfg.Dim(), s.group.Rank()
	w := s.columns(me).Len()
	send := make([][]byte, s.group.Size())
	for r := range send {
		c := s.columns(r)
		for part := range 3 {
			m := s.qkv.ColRange(part*d+c.Lo, part*d+c.Hi)
			if r == me {
				own := s.all.RowRange(s.own.Lo, s.own.Hi)
				s.t.dev.Copy(own.ColRange(part*w, (part+1)*w), m)
				continue
			}
			if err := s.pack(&send[r], 3, part, m); err != nil {
				return err
			}
		}
	}
	recv, err := s.group.AllToAll(ctx, tag, send)
	if err != nil {
		return err
	}
	return s.unpack(recv, func(r, part int) compute.Mat {
		rows := s.all.RowRange(s.tokens[r].Lo, s.tokens[r].Hi)
		return rows.ColRange(part*w, (part+1)*w)
	}, 3)
}

// scatterTokens is the way back: s.allOut [N, w] of every rank becomes s.attn [own, d].
func (s *Sequence) scatterTokens(ctx context.Context, tag collective.Tag) error {
	me := s.group.Rank()
	send := make([][]byte, s.group.Size())
	for r := range send {
		m := s.allOut.RowRange(s.tokens[r].Lo, s.tokens[r].Hi)
		if r == me {
			c := s.columns(me)
			s.t.dev.Copy(s.attn.ColRange(c.Lo, c.Hi), m)
			continue
		}
		if err := s.pack(&send[r], 1, 0, m); err != nil {
			return err
		}
	}
	recv, err := s.group.AllToAll(ctx, tag, send)
	if err != nil {
		return err
	}
	return s.unpack(recv, func(r, _ int) compute.Mat {
		c := s.columns(r)
		return s.attn.ColRange(c.Lo, c.Hi)
	}, 1)
}

// pack downloads m as part of parts equal ones into *buf, which it allocates for the first.
func (s *Sequence) pack(buf *[]byte, parts, part int, m compute.Mat) error {
	n := m.Rows * m.Cols
	if *buf == nil {
		*buf = tensor.Bytes(make([]float32, parts*n))
	}
	return s.t.dev.Download(tensor.Floats(*buf)[part*n:(part+1)*n], m)
}

// unpack uploads each peer's parts to where place puts them. A message of another size is an error.
func (s *Sequence) unpack(recv [][]byte, place func(rank, part int) compute.Mat, parts int) error {
	for r, b := range recv {
		if r == s.group.Rank() {
			continue
		}
		for part := range parts {
			m := place(r, part)
			n := m.Rows * m.Cols
			if len(b) != 4*n*parts {
				return &collective.PeerError{Rank: s.group.Member(r),
					Err: fmt.Errorf("sent %d bytes, %d expected", len(b), 4*n*parts)}
			}
			s.t.dev.Upload(m, tensor.Floats(b)[part*n:(part+1)*n])
		}
	}
	return nil
}
