package wan

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/sparse"
	"github.com/longtake/longtake/internal/tensor"
)

// timestepsMax bounds the distinct timesteps of one pass, for which the modulation's memory is
// allocated once. Models of today need one or two.
const timestepsMax = 64

// Sequence is one rank's part of the forward passes over one grid: device memory for its own tokens
// and heads, allocated once and reused by every pass of a job. It belongs to one goroutine, and its
// device too while a pass runs.
//
// Shapes below use n for the rank's own tokens, N for those of the whole window, d for the width of
// the transformer and w for that of the rank's own heads.
type Sequence struct {
	t      *Transformer      // the packed weights, shared by all sequences
	group  *collective.Group // the ranks that share the window
	tokens []partition.Range // per rank of the group
	heads  []partition.Range // per rank of the group
	own    partition.Range   // tokens[rank of this process]
	grid   partition.Grid    // of the window, or of a block
	cache  *cache            // of a causal clip; nil: the window is all that there is
	rope   compute.Rope      // cosines and sines of the own tokens' positions
	index  []int32           // per own token, its row of temb and tproj; nil: row 0
	arena  *model.Arena      // all of the memory below

	// Activations of the own tokens. What only products read is an operand, where the device has
	// some.
	in         compute.Mat // [n, patch·C]: latent, then condition
	out        compute.Mat // [n, TokenWidth]: velocity
	hidden     compute.Mat // [n, d]
	norm, attn compute.Mat // [n, d], operands: what blocks multiply first, and what attention gives
	up         compute.Mat // [n, ffn], an operand
	qkv, q2    compute.Mat // [n, 3d] or [n, 2d], [n, d]: of self- and cross-attention
	k, v       compute.Mat // [n, d], operands: what attention reads; of a rank that is alone

	control control // what control blocks work on; unused by models without them

	// Own heads over the tokens of every rank; unused by a rank that is alone. With a cache, keys
	// and values are there.
	all    [3]compute.Mat // q, k and v, [N, w]; keys and values are operands
	allOut compute.Mat    // [N, w], an operand

	// Modulation, a row for each distinct timestep, and the rows that this pass uses.
	mod, outMod       compute.Mat       // [timestepsMax, 6d], [timestepsMax, 2d]
	freq, timeHidden  compute.Mat       // [timestepsMax, freq], [timestepsMax, d]
	tembAll, tprojAll compute.Mat       // [timestepsMax, d], [timestepsMax, 6d]
	temb, tproj       compute.Mat       // [values, d], [values, 6d]
	parts             [6]compute.RowVec // what modulation returned last, by part

	conditioned bool      // whether Condition has filled its columns of in
	pictures    *Pictures // nil: none

	// Tiles lists the keys that self-attention reads in the passes to come, but for the first layers,
	// which attend to all (sparse.DenseLayers); nil: all keys in all layers. They are those of the
	// whole window's tokens on each rank.
	Tiles  *compute.KeyTiles
	listed *compute.KeyTiles // Tiles, in a layer that follows them

	// Kept, where set, receives what the blocks add in the passes to come, for ForwardWith.
	Kept *Residual

	waited time.Duration // for messages, since TakeWaited

	tap func(name string, m compute.Mat) // sees activations, in tests

	// Layer, where set, is called after each layer, on the goroutine of Forward, with the part of
	// the pass that is done, in (0, 1].
	Layer func(part float64)
}

// NewSequence prepares passes over grid g in a group whose rank r owns tokens[r] and heads[r]; both
// lists tile their totals in order. It fails with compute.ErrMemory when the device lacks the
// memory. Free it after the last pass.
func (t *Transformer) NewSequence(g partition.Grid, group *collective.Group,
	tokens, heads []partition.Range) (*Sequence, error) {
	return t.newSequence(g, group, tokens, heads, nil)
}

// newSequence is NewSequence, or where r is not nil NewCausalSequence.
func (t *Transformer) newSequence(g partition.Grid, group *collective.Group,
	tokens, heads []partition.Range, r *Reach) (*Sequence, error) {
	if len(tokens) != group.Size() || len(heads) != group.Size() {
		return nil, fmt.Errorf("%d token and %d head ranges for %d ranks",
			len(tokens), len(heads), group.Size())
	}

	s := &Sequence{t: t, group: group, tokens: tokens, heads: heads, own: tokens[group.Rank()],
		grid: g, arena: model.NewArena(t.dev)}
	s.allocate(g.Tokens(), heads[group.Rank()], r)
	if err := s.arena.Err(); err != nil {
		return nil, fmt.Errorf("cannot hold %d tokens: %w", s.own.Len(), err)
	}

	s.uploadPositions(0)
	return s, nil
}

// uploadPositions gives the own tokens their positions, in a window that begins at frame first of
// tokens.
func (s *Sequence) uploadPositions(first int) {
	cos, sin := ropeTables(s.t.cfg, s.grid, s.own, first)
	s.t.dev.Upload(s.rope.Cos, cos)
	s.t.dev.Upload(s.rope.Sin, sin)
}

// Use makes the passes to come those of another transformer of the same form on the same device,
// such as the second expert of a model; texts are that one's own.
func (s *Sequence) Use(t *Transformer) {
	if s.t == t {
		return
	}
	if s.t = t; s.control.set && t.patchC != nil {
		s.embedControl()
	}
}

// Free gives the device's memory back; the sequence may not be used afterwards.
func (s *Sequence) Free() { s.arena.Free() }

// TakeWaited returns how long passes have waited for messages of the group with nothing to compute,
// since it was last called.
func (s *Sequence) TakeWaited() time.Duration {
	d := s.waited
	s.waited = 0
	return d
}

// Forward predicts the velocity v of the own tokens x, both [own, TokenWidth], at the timesteps ts
// and for the prompt text (WanTransformer3DModel.forward). Every rank of the group calls it with
// the same tag; operations tag.Op to tag.Op+Operations()-1 are used for its messages.
//
// If ctx ends, its cause is returned, within a layer or with the group's next message. If values
// are not finite, a *tensor.NotFiniteError says after which block, where that can be known: some
// devices notice, and a rank that is alone runs the pass again to look.
func (s *Sequence) Forward(ctx context.Context, tag collective.Tag, x, v []float32,
	ts Timesteps, text *Text) error {
	err := s.forward(ctx, tag, x, v, ts, text)
	_, sees := s.t.dev.(compute.FiniteObserver)
	if err != nil || sees || s.group.Size() > 1 || tensor.Finite(v) {
		return err
	}
	return s.findNotFinite(func() error { return s.forward(ctx, tag, x, v, ts, text) })
}

// forward is Forward without the search for a cause.
func (s *Sequence) forward(ctx context.Context, tag collective.Tag, x, v []float32,
	ts Timesteps, text *Text) error {
	if err := s.begin(x, ts); err != nil {
		return err
	}

	// Patches: [n, patch·C] to [n, d].
	dev := s.t.dev
	dev.Linear(s.hidden, s.in, s.t.patch, compute.Epilogue{})
	s.observe("patch_embedding", s.hidden)

	for i := range s.t.blocks {
		if err := s.controlled(ctx, tag, i, text); err != nil {
			return err
		}
		if err := s.layerDone(ctx, i+1); err != nil {
			return err
		}
	}

	if s.Kept != nil {
		s.keep(s.Kept)
	}

	// Back to patches: [n, d] to [n, patch·C].
	s.output()
	if err := s.checkFinite(s.outputName(len(s.t.blocks) - 1)); err != nil {
		return err
	}
	return dev.Download(v, s.out)
}

// begin checks what a pass is given, and uploads it.
func (s *Sequence) begin(x []float32, ts Timesteps) error {
	if err := cmp.Or(ts.check(s.own.Len(), timestepsMax), s.checkConditions()); err != nil {
		return err
	}
	compute.SawNonFinite(s.t.dev) // forget what the device noticed in earlier work
	s.embedTime(ts)
	s.t.dev.Upload(s.in.ColRange(0, s.t.TokenWidth()), x)
	return nil
}

// syncWork is the work of one layer on this rank, in multiplications and additions, from which
// layerDone waits for the device. A device that takes operations ahead of time then has at most
// seconds of them queued when a job is stopped, and the progress that Layer reports is true. A
// layer of this size takes 10 ms or more on the fastest GPUs, so that waiting costs nothing
// measurable.
const syncWork = 1e13

// layerDone is called after the first n layers of a pass. It reports progress, and ends the pass
// with the cause of ctx once ctx has ended.
func (s *Sequence) layerDone(ctx context.Context, n int) error {
	layers := len(s.t.blocks)
	work := s.t.Work(s.tokens[len(s.tokens)-1].Hi) / float64(layers*len(s.tokens))

	if work >= syncWork {
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

// output is the modulated norm and the projection back to patches: hidden [n, d] to out [n,
// patch·C]. Its shift and scale are the time embedding itself plus the rows of the table; unlike
// the blocks', they do not pass through time_proj.
func (s *Sequence) output() {
	d, dev, n := s.t.cfg.Dim(), s.t.dev, s.temb.Rows
	m := s.outMod.RowRange(0, n)

	// [values, d] to [values, 2d]: the same embedding for shift and for scale.
	dev.Copy(m.ColRange(0, d), s.temb)
	dev.Copy(m.ColRange(d, 2*d), s.temb)
	dev.AddVector(m, m, s.t.table)
	dev.LayerNorm(s.norm, s.hidden, compute.Norm{Eps: s.t.cfg.Eps,
		Shift: s.modulation(m, 0), Scale: s.modulation(m, 1)})
	dev.Linear(s.out, s.norm, s.t.proj, compute.Epilogue{})
}

// block is layer i, a transformer block (WanTransformerBlock), on values x [n, d] of the own
// tokens, which it replaces. Only its self-attention talks to the group; tag is that of the pass.
// The six parts of its modulation are shift, scale and gate of the attention, then of the
// feed-forward.
func (s *Sequence) block(ctx context.Context, tag collective.Tag, i int, x compute.Mat,
	text *Text) error {
	dev, b, eps := s.t.dev, s.t.layer(i), s.t.cfg.Eps
	tag.Op += uint32(opsPerLayer * i) //nolint:gosec // configurations bound the layers
	m := s.mod.RowRange(0, s.tproj.Rows)
	dev.AddVector(m, s.tproj, b.table)
	if s.listed = s.Tiles; i < sparse.DenseLayers {
		s.listed = nil
	}

	// Self-attention: x += gate · out(attention(modulated norm)).
	dev.LayerNorm(s.norm, x, compute.Norm{Eps: eps,
		Shift: s.modulation(m, 0), Scale: s.modulation(m, 1)})
	if err := s.checkFinite(s.inputName(i)); err != nil {
		return err
	}
	if err := s.selfAttention(ctx, tag, i); err != nil {
		return err
	}
	dev.Linear(x, s.attn, b.self.out,
		compute.Epilogue{Gate: s.modulation(m, 2), Residual: &x})

	// Cross-attention to the text: x += out(attention(norm)). Its norm has weights of its own
	// instead of modulation, or is left out.
	in := x
	if b.norm2g != nil {
		dev.LayerNorm(s.norm, x, compute.Norm{Eps: eps, Gain: b.norm2g, Bias: b.norm2b})
		in = s.norm
	}
	dev.Linear(s.q2, in, b.cross.q, compute.Epilogue{})
	dev.RMSNorm(s.q2, s.q2, b.cross.normQ, eps, nil)
	s.attendTo(i, text)
	dev.Linear(x, s.attn, b.cross.out, compute.Epilogue{Residual: &x})

	// Feed-forward: x += gate · down(GELU(up(modulated norm))).
	dev.LayerNorm(s.norm, x, compute.Norm{Eps: eps,
		Shift: s.modulation(m, 3), Scale: s.modulation(m, 4)})
	dev.Linear(s.up, s.norm, b.ffnUp, compute.Epilogue{Act: compute.GELUTanh})
	dev.Linear(x, s.up, b.ffnOut,
		compute.Epilogue{Gate: s.modulation(m, 5), Residual: &x})

	if err := s.checkFinite(s.outputName(i)); err != nil {
		return err
	}
	if s.tap != nil {
		s.observe(s.outputName(i), x)
	}
	return nil
}

// scale is the factor of attention's logits, 1/√(head width).
func (s *Sequence) scale() float32 {
	return float32(1 / math.Sqrt(float64(s.t.cfg.AttentionHeadDim)))
}

// observe shows a test an activation, under the name that the golden has for it.
func (s *Sequence) observe(name string, m compute.Mat) {
	if s.tap != nil {
		s.tap(name, m)
	}
}
