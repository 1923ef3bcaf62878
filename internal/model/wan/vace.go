package wan

import (
	"context"
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// controlName is the name of what the control blocks are given, in errors.
const controlName = "control"

// vaceBlock is the weights of one WanVACETransformerBlock: a block of a second, shorter stack that
// reads what the clip is controlled by (VACE: All-in-One Video Creation and Editing, Jiang et al.
// 2025). Its result is added to that of the layer it belongs to.
type vaceBlock struct {
	block
	in  compute.Linear // [d, d], of the control's patches; nil in all blocks but the first
	out compute.Linear // [d, d]: from the control stream to what is added
}

// loadVace binds the control blocks, of which most models have none.
func (t *Transformer) loadVace(b *model.Builder) {
	if len(t.cfg.VaceLayers) == 0 {
		return
	}

	t.patchC = loadPatch(b, t.cfg, "vace_patch_embedding", t.cfg.VaceInChannels)
	for k := range t.cfg.VaceLayers {
		at := fmt.Sprintf("vace_blocks.%d.", k)
		v := vaceBlock{block: loadBlock(b, t.cfg, at), out: b.Linear(at + "proj_out")}
		if k == 0 {
			v.in = b.Linear(at + "proj_in")
		}
		t.vace = append(t.vace, v)
	}
}

// layers counts the blocks and, behind them, the control blocks.
func (t *Transformer) layers() int { return len(t.blocks) + len(t.vace) }

// layer returns the weights that a layer has in common with all others.
func (t *Transformer) layer(i int) *block {
	if i < len(t.blocks) {
		return &t.blocks[i]
	}
	return &t.vace[i-len(t.blocks)].block
}

// ControlWidth returns the number of values in one token of the control, channels times patch
// volume; 0 for a model that is not controlled.
func (t *Transformer) ControlWidth() int {
	if len(t.vace) == 0 {
		return 0
	}
	p := t.cfg.PatchSize
	return t.cfg.VaceInChannels * p[0] * p[1] * p[2]
}

// ControlLayers returns how many layers the control is added to.
func (t *Transformer) ControlLayers() int { return len(t.vace) }

// control is the control stream of a sequence: what it begins with in every pass, and its values
// in the pass under way.
type control struct {
	in            compute.Mat // [n, patch·control channels]
	start, hidden compute.Mat // [n, d]: after proj_in, and after the blocks so far
	scales        compute.Mat // [control blocks, d], each row of one value
	set           bool        // whether Control has filled start and scales
}

// allocate takes the memory of the control of n own tokens, where the model is controlled.
func (c *control) allocate(t *Transformer, a *model.Arena, n int) {
	if len(t.vace) == 0 {
		return
	}
	d := t.cfg.Dim()
	c.in, c.start, c.hidden = a.Mat(n, t.ControlWidth()), a.Mat(n, d), a.Mat(n, d)
	c.scales = a.Mat(len(t.vace), d)
}

// Control sets what the own tokens are controlled by in the passes to come, rows [own,
// ControlWidth] in the order of values that latents have, and how strongly, a scale for each of
// ControlLayers. Rows or scales of other sizes are an error. A model that is controlled makes no
// pass before it; it is called again for another window.
func (s *Sequence) Control(rows, scales []float32) error {
	t, dev, c := s.t, s.t.dev, &s.control
	if len(t.vace) == 0 || len(rows) != s.own.Len()*t.ControlWidth() || len(scales) != len(t.vace) {
		return fmt.Errorf("%d values and %d scales do not control %d tokens x %d in %d layers",
			len(rows), len(scales), s.own.Len(), t.ControlWidth(), len(t.vace))
	}

	d := t.cfg.Dim()
	wide := make([]float32, 0, len(scales)*d)
	for _, v := range scales {
		wide = append(wide, slices.Repeat([]float32{v}, d)...)
	}
	dev.Upload(c.scales, wide)

	dev.Upload(c.in, rows)
	if c.set = true; t.patchC != nil { // a Form has no weights; Use embeds the control then
		s.embedControl()
	}
	return nil
}

// embedControl makes what the control stream begins with: patches, then the first block's own
// projection. Neither depends on the timestep.
func (s *Sequence) embedControl() {
	t, c := s.t, &s.control
	t.dev.Linear(c.hidden, c.in, t.patchC, compute.Epilogue{})
	t.dev.Linear(c.start, c.hidden, t.vace[0].in, compute.Epilogue{})
}

// controlled runs block i on the latent and, where the layer is controlled, the control block that
// belongs to it, whose result is added: hidden += scale · out(control). The reference runs all
// control blocks first. None of them reads what a block makes, so one at a time gives the same, and
// holds one result instead of one of each layer.
func (s *Sequence) controlled(ctx context.Context, tag collective.Tag, i int, text *Text) error {
	t, dev, c := s.t, s.t.dev, &s.control
	k := slices.Index(t.cfg.VaceLayers, i)
	if k < 0 {
		return s.block(ctx, tag, i, s.hidden, text)
	}

	if k == 0 {
		if !c.set {
			return fmt.Errorf("cannot run a pass without its control")
		}
		dev.Add(c.hidden, c.start, s.hidden)
	}
	if err := s.block(ctx, tag, len(t.blocks)+k, c.hidden, text); err != nil {
		return err
	}
	if err := s.block(ctx, tag, i, s.hidden, text); err != nil {
		return err
	}
	scale := compute.RowVec{M: c.scales.RowRange(k, k+1)}
	dev.Linear(s.hidden, c.hidden, t.vace[k].out,
		compute.Epilogue{Gate: &scale, Residual: &s.hidden})
	return nil
}
