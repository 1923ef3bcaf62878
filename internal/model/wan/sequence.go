package wan

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// timestepsMax bounds the distinct timesteps of one pass.
const timestepsMax = 64

// Sequence is one rank's part of the forward passes over one grid: memory for its own tokens and
// heads, allocated once. It belongs to one goroutine.
type Sequence struct {
	t      *Transformer
	group  *collective.Group
	tokens []partition.Range // per rank of the group
	heads  []partition.Range
	own    partition.Range
	rope   compute.Rope
	index  []int32
	arena  *model.Arena

	in, out, hidden, norm, attn, up     compute.Mat // [own, ...]
	qkv, q2                             compute.Mat // [own, 3d], [own, d]
	all, allOut                         compute.Mat // own heads, every token: [N, 3w], [N, w]
	mod, outMod                         compute.Mat // [values, 6d], [values, 2d]
	freq, timeHidden, tembAll, tprojAll compute.Mat
	temb, tproj                         compute.Mat
	parts                               [6]compute.RowVec
	tap                                 func(name string, m compute.Mat) // for tests

	// Layer, where set, is called after each layer with the part of the pass that is done.
	Layer func(part float64)
}

// NewSequence prepares passes over grid g in a group whose rank r owns tokens[r] and heads[r];
// both lists tile their totals in order. It fails when the device lacks the memory.
func (t *Transformer) NewSequence(g partition.Grid, group *collective.Group,
	tokens, heads []partition.Range) (*Sequence, error) {
	if len(tokens) != group.Size() || len(heads) != group.Size() {
		return nil, fmt.Errorf("%d token and %d head ranges for %d ranks",
			len(tokens), len(heads), group.Size())
	}
	s := &Sequence{t: t, group: group, tokens: tokens, heads: heads, own: tokens[group.Rank()],
		arena: model.NewArena(t.dev)}
	s.allocate(g.Tokens(), heads[group.Rank()])
	if err := s.arena.Err(); err != nil {
		return nil, fmt.Errorf("cannot hold %d tokens: %w", s.own.Len(), err)
	}
	cos, sin := ropeTables(t.cfg, g, s.own)
	t.dev.Upload(s.rope.Cos, cos)
	t.dev.Upload(s.rope.Sin, sin)
	return s, nil
}

// SequenceBytes returns the memory of the device that a Sequence and its passes take on the rank of
// a group.
func (t *Transformer) SequenceBytes(g partition.Grid, rank int, tokens,
	heads []partition.Range) int64 {
	m := &compute.Meter{}
	s := &Sequence{t: t, tokens: tokens, heads: heads, own: tokens[rank], arena: model.NewArena(m)}
	s.allocate(g.Tokens(), heads[rank])
	for range 2 {
		s.arena.Mat(1, s.own.Len()) // the tokens' timesteps, for scale and for shift
	}
	if _, gives := t.dev.(compute.Copier); gives && len(tokens) > 1 {
		s.allocateGiven(rank, heads)
	}
	if w, takes := t.dev.(compute.Workspace); takes {
		return m.Most() + 2*s.workBytes(w, g.Tokens(), heads[rank]) // it may move once as it grows
	}
	return m.Most()
}

// workBytes returns the most that one operation of a pass takes beside the sequence's memory.
func (s *Sequence) workBytes(w compute.Workspace, total int, heads partition.Range) int64 {
	cfg, n, t := s.t.cfg, s.own.Len(), s.t.dtype
	d := cfg.Dim()
	return max(w.LinearBytes(n, d, 3*d, t), w.LinearBytes(n, d, d, t),
		w.LinearBytes(n, d, cfg.FFNDim, t), w.LinearBytes(n, cfg.FFNDim, d, t),
		w.LinearBytes(TextTokens, cfg.TextDim, d, t),
		w.AttentionBytes(total, heads.Len(), cfg.AttentionHeadDim, t),
		w.AttentionBytes(TextTokens, cfg.NumAttentionHeads, cfg.AttentionHeadDim, t))
}

// allocateGiven takes the memory for what is on its way to other devices of the process: at most
// two layers' parts of q, k and v, and one layer's of the output, which goes in two halves.
func (s *Sequence) allocateGiven(rank int, heads []partition.Range) {
	travel := func(tokens, heads partition.Range) {
		n := tokens.Len() * s.columns(heads).Len() * s.bytes(compute.Mat{Rows: 1, Cols: 1})
		s.arena.Mat(1, (n+3)/4)
	}
	for r := range s.tokens {
		if r == rank {
			continue
		}
		for range 2 * 3 {
			travel(s.own, heads[r])
		}
		for i := range 2 {
			travel(s.tokens[r], halfOf(heads[rank], i))
		}
	}
}

// allocate takes the memory for a sequence of so many tokens in all on the rank that has heads.
func (s *Sequence) allocate(total int, heads partition.Range) {
	cfg, a, n := s.t.cfg, s.arena, s.own.Len()
	d := cfg.Dim()
	s.in, s.out = a.Mat(n, s.t.TokenWidth()), a.Mat(n, s.t.TokenWidth())
	s.hidden, s.norm, s.attn, s.up = a.Mat(n, d), a.Mat(n, d), a.Mat(n, d), a.Mat(n, cfg.FFNDim)
	s.qkv, s.q2 = a.Mat(n, 3*d), a.Mat(n, d)
	s.mod, s.outMod = a.Mat(timestepsMax, 6*d), a.Mat(timestepsMax, 2*d)
	s.freq, s.timeHidden = a.Mat(timestepsMax, cfg.FreqDim), a.Mat(timestepsMax, d)
	s.tembAll, s.tprojAll = a.Mat(timestepsMax, d), a.Mat(timestepsMax, 6*d)
	if len(s.tokens) > 1 {
		w := heads.Len() * cfg.AttentionHeadDim
		s.all, s.allOut = a.Mat(total, 3*w), a.Mat(total, w)
	}
	half := cfg.AttentionHeadDim / 2
	s.rope = compute.Rope{HeadDim: cfg.AttentionHeadDim, Cos: a.Mat(n, half), Sin: a.Mat(n, half)}
}

// Own returns the tokens this rank holds.
func (s *Sequence) Own() partition.Range { return s.own }

// Free gives the device's memory back.
func (s *Sequence) Free() { s.arena.Free() }

// Forward predicts the velocity v of the own tokens x, both [own, TokenWidth], at the timesteps ts.
// Every rank of the group calls it with the same tag; operations tag.Op .. tag.Op+5·layers-1 are
// used for its messages. Where values are not finite, a *tensor.NotFiniteError says after which
// block, if that can be known: a device may see it, or a rank that is alone looks for it.
func (s *Sequence) Forward(ctx context.Context, tag collective.Tag, x, v []float32,
	ts Timesteps, text *Text) error {
	err := s.forward(ctx, tag, x, v, ts, text)
	_, sees := s.t.dev.(compute.Observer)
	if err != nil || sees || s.group.Size() > 1 || tensor.Finite(v) {
		return err
	}
	return s.locate(func() error { return s.forward(ctx, tag, x, v, ts, text) })
}

// locate runs a pass again to find the first block whose output is not finite; nil: it is none's.
func (s *Sequence) locate(pass func() error) error {
	before, blocks := s.tap, 0
	defer func() { s.tap = before }()
	var found error
	s.tap = func(_ string, m compute.Mat) { // the input of the blocks comes first
		if found == nil {
			values := make([]float32, m.Rows*m.Cols)
			found = s.t.dev.Download(values, m)
			if found == nil {
				found = tensor.CheckFinite(s.madeBy(blocks), values)
			}
		}
		blocks++
	}
	return cmp.Or(pass(), found)
}

// madeBy names what so many blocks have made.
func (s *Sequence) madeBy(blocks int) string {
	if blocks == 0 {
		return "what the blocks are given"
	}
	return fmt.Sprintf("what block %d of %d makes", blocks, len(s.t.blocks))
}

func (s *Sequence) forward(ctx context.Context, tag collective.Tag, x, v []float32,
	ts Timesteps, text *Text) error {
	if err := ts.check(s.own.Len(), timestepsMax); err != nil {
		return err
	}
	dev := s.t.dev
	compute.Flawed(dev) // of what came before
	s.embedTime(ts)
	dev.Upload(s.in, x)
	dev.Linear(s.hidden, s.in, s.t.patch, compute.Epilogue{})
	s.observe("patch_embedding", s.hidden)
	for i := range s.t.blocks {
		layerTag := collective.Tag{Step: tag.Step, Op: tag.Op + uint32(opsPerLayer*i)}
		if err := s.block(ctx, layerTag, i, text); err != nil {
			return err
		}
		if err := s.sound(i + 1); err != nil {
			return err
		}
		if s.tap != nil {
			s.observe(fmt.Sprintf("block.%d", i), s.hidden)
		}
		if err := s.layerDone(ctx, i+1); err != nil {
			return err
		}
	}
	s.output()
	if err := s.sound(len(s.t.blocks)); err != nil {
		return err
	}
	return dev.Download(v, s.out)
}

// sound returns an error if the device has seen values that are not finite: what so many blocks
// have made. An operation that was stopped is the cause instead, if there is one.
func (s *Sequence) sound(blocks int) error {
	if !compute.Flawed(s.t.dev) {
		return nil
	}
	if err := s.t.dev.Sync(); err != nil {
		return err
	}
	return &tensor.NotFiniteError{What: s.madeBy(blocks)}
}

// layerWork is from how many operations of this rank on a layer is waited for. A device that is
// given operations ahead then never has more than seconds of them when it is told to stop, and what
// Layer says is true; a layer takes 10 ms or more on the fastest of GPUs, which does not notice.
const layerWork = 1e13

// layerDone is called after so many layers; no further one begins once ctx has ended.
func (s *Sequence) layerDone(ctx context.Context, n int) error {
	layers := len(s.t.blocks)
	work := s.t.Work(s.tokens[len(s.tokens)-1].Hi) / float64(layers*len(s.tokens))
	if work >= layerWork {
		if err := s.t.dev.Sync(); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.Layer != nil {
		s.Layer(float64(n) / float64(layers))
	}
	return nil
}

// output is the modulated norm and the projection back to patches. Its shift and scale come from
// the time embedding itself, added to both halves of the table.
func (s *Sequence) output() {
	d, dev, n := s.t.cfg.Dim(), s.t.dev, s.temb.Rows
	m := s.outMod.RowRange(0, n)
	dev.Copy(m.ColRange(0, d), s.temb)
	dev.Copy(m.ColRange(d, 2*d), s.temb)
	dev.AddVector(m, m, s.t.table)
	dev.LayerNorm(s.norm, s.hidden, compute.Norm{Eps: s.t.cfg.Eps,
		Shift: s.modulation(m, 0), Scale: s.modulation(m, 1)})
	dev.Linear(s.out, s.norm, s.t.proj, compute.Epilogue{})
}

// block is one transformer block on the own tokens; only its self-attention talks to the group.
func (s *Sequence) block(ctx context.Context, tag collective.Tag, i int, text *Text) error {
	t, dev, b, eps := s.t, s.t.dev, &s.t.blocks[i], s.t.cfg.Eps
	m := s.mod.RowRange(0, s.tproj.Rows)
	dev.AddVector(m, s.tproj, b.table)

	dev.LayerNorm(s.norm, s.hidden, compute.Norm{Eps: eps,
		Shift: s.modulation(m, 0), Scale: s.modulation(m, 1)})
	if err := s.sound(i); err != nil {
		return err
	}
	if err := s.selfAttention(ctx, tag, &b.self); err != nil {
		return err
	}
	dev.Linear(s.hidden, s.attn, b.self.out,
		compute.Epilogue{Gate: s.modulation(m, 2), Residual: &s.hidden})

	x := s.hidden
	if b.norm2g != nil {
		dev.LayerNorm(s.norm, s.hidden, compute.Norm{Eps: eps, Gain: b.norm2g, Bias: b.norm2b})
		x = s.norm
	}
	dev.Linear(s.q2, x, b.cross.q, compute.Epilogue{})
	dev.RMSNorm(s.q2, s.q2, b.cross.normQ, eps, nil)
	dev.Attention(s.attn, s.q2, text.keys[i], text.vals[i], compute.AttentionArgs{
		Heads: t.cfg.NumAttentionHeads, Scale: s.scale(), LastKeyBias: text.bias, DType: t.dtype})
	dev.Linear(s.hidden, s.attn, b.cross.out, compute.Epilogue{Residual: &s.hidden})

	dev.LayerNorm(s.norm, s.hidden, compute.Norm{Eps: eps,
		Shift: s.modulation(m, 3), Scale: s.modulation(m, 4)})
	dev.Linear(s.up, s.norm, b.ffnUp, compute.Epilogue{Act: compute.GELUTanh})
	dev.Linear(s.hidden, s.up, b.ffnOut,
		compute.Epilogue{Gate: s.modulation(m, 5), Residual: &s.hidden})
	return nil
}

func (s *Sequence) scale() float32 {
	return float32(1 / math.Sqrt(float64(s.t.cfg.AttentionHeadDim)))
}

func (s *Sequence) observe(name string, m compute.Mat) {
	if s.tap != nil {
		s.tap(name, m)
	}
}
