package engine

import (
	"context"
	"fmt"
	"os"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/latents"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// conditions are what the transformer is given of a clip beside the latent and the texts.
type conditions struct {
	// rows are the condition of the held tokens, [tokens, ConditionWidth], in the order in which the
	// latent is held; nil for a model that takes none.
	rows []float32
	// embeds are those of the clip's pictures, [tokens, image_dim]; nil for a model that sees none.
	embeds []float32

	// What is on the device: pictures for one transformer, the condition of tokens in one sequence.
	pictures *wan.Pictures
	seenBy   *wan.Transformer
	seq      *wan.Sequence
	tokens   partition.Range
}

// free gives the device's memory back. It may be called again.
func (c *conditions) free() {
	if c.pictures != nil {
		c.pictures.Free()
	}
	c.pictures, c.seenBy, c.seq = nil, nil, nil
}

// prepareConditions makes what the transformer needs beside latent and texts. All ranks call it
// together.
func (r *run) prepareConditions(ctx context.Context) error {
	if err := r.sharePictures(ctx); err != nil {
		return err
	}
	if r.e.form.ConditionWidth() == 0 {
		return nil
	}
	r.conditions.rows = make([]float32, r.windows.Values()/r.e.form.TokenWidth()*
		r.e.form.ConditionWidth())

	if r.Rank != 0 {
		return r.receiveCondition(ctx)
	}
	return r.withTempFile(func(f *os.File) error {
		if err := r.conditionLatents(ctx, f); err != nil {
			return fmt.Errorf("cannot make a clip from this picture: %w", err)
		}
		z, err := r.openLatents(f.Name(), r.grid.T)
		if err != nil {
			return err
		}
		defer z.Close()
		return r.sendCondition(ctx, z)
	})
}

// setConditions puts what belongs to a window of token frames on the device, unless it is there.
func (r *run) setConditions(window partition.Range) error {
	c, t := &r.conditions, r.e.dit
	if c.embeds != nil && c.seenBy != t {
		c.free()
		pictures, err := t.Pictures(c.embeds)
		if err != nil {
			return err
		}
		c.pictures, c.seenBy = pictures, t
	}

	r.seq.See(c.pictures)

	own := r.layout.Split(window)[r.group.Rank()].Plus(window.Lo * r.layout.PerFrame)
	if c.rows == nil || c.seq == r.seq && c.tokens == own {
		return nil
	}
	c.seq, c.tokens = r.seq, own
	at := r.conditionPlace(own)
	return r.seq.Condition(c.rows[at.Lo:at.Hi])
}

// conditionPlace returns where the condition of tokens lies among that of the held ones.
func (r *run) conditionPlace(tokens partition.Range) partition.Range {
	at, width := r.windows.Place(tokens), r.e.form.TokenWidth()
	n := r.e.form.ConditionWidth()
	return partition.Range{Lo: at.Lo / width * n, Hi: at.Hi / width * n}
}

// conditionLatents writes the latent of the condition to a file: of a clip that has the given
// pictures at its ends and zeros, which are grey, between them. An earlier attempt may have made
// it.
func (r *run) conditionLatents(ctx context.Context, f *os.File) error {
	if r.copyKept(ctx, job.PartCondition, f, func() error {
		z, err := r.openLatents(f.Name(), r.grid.T)
		if err != nil {
			return err
		}
		return z.Close()
	}) {
		return nil
	}

	// The name of the job makes it an object of this job alone, which is deleted with the job.
	s := r.Plan.Spec
	w, err := latents.NewWriter(f, r.e.folder.Transformer.OutChannels, r.grid,
		map[string]string{"job": string(r.Plan.Job), "part": job.PartCondition})
	if err != nil {
		return err
	}

	first, err := r.readPicture(ctx, job.RoleStart)
	if err != nil {
		return err
	}

	pictures := map[int]media.Frame{0: media.Fit(first, s.Width, s.Height)}
	if _, ok := s.Input(job.RoleLast); ok {
		last, err := r.readPicture(ctx, job.RoleLast)
		if err != nil {
			return err
		}
		pictures[s.Frames-1] = media.Fit(last, s.Width, s.Height)
	}

	encoder, err := r.e.loadEncoder(ctx)
	if err != nil {
		return err
	}
	err = encoder.encode(ctx, s.Height, s.Width, s.Frames, func(i int, frame []float32) error {
		if p, ok := pictures[i]; ok {
			media.FromRGB(frame, p.RGB)
		} else {
			clear(frame)
		}
		return nil
	}, w.PutFrame)

	if err == nil {
		r.keepFile(ctx, job.PartCondition, f)
	}
	return err
}

// sendCondition gives each rank the condition of the tokens that it holds, frame by frame, so that
// rank 0 has one frame in memory.
func (r *run) sendCondition(ctx context.Context, z *latents.File) error {
	for t := range r.layout.Frames {
		frame := r.conditionFrame(z, t)
		g := r.grid
		g.T = g.PT
		channels := len(frame) / (g.T * g.H * g.W)

		for rank := range r.Transport.Size() {
			tokens := r.heldInFrame(rank, t)
			var rows []float32
			for _, own := range tokens {
				rows = append(rows, diffusion.Tokens(frame, channels, g,
					own.Plus(-t*r.layout.PerFrame))...)
			}

			switch {
			case rank == 0:
				r.putCondition(tokens, rows)
			case len(rows) > 0:
				if err := r.Transport.Send(ctx, rank, r.conditionTag(t), tensor.Bytes(rows)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// receiveCondition takes what sendCondition gives.
func (r *run) receiveCondition(ctx context.Context) error {
	for t := range r.layout.Frames {
		tokens := r.heldInFrame(r.Rank, t)
		n := 0
		for _, own := range tokens {
			n += own.Len() * r.e.form.ConditionWidth()
		}

		if n == 0 {
			continue
		}
		rows, err := r.recvFloats(ctx, r.Transport, 0, r.conditionTag(t), n)
		if err != nil {
			return err
		}
		r.putCondition(tokens, rows)
	}

	// Values from another machine that are not finite would spread to every token.
	return tensor.CheckFinite("the clip's condition", r.conditions.rows)
}

// conditionTag tags the condition of a frame of tokens.
func (r *run) conditionTag(t int) collective.Tag {
	return collective.Tag{Op: op(opCondition, t)}
}

// heldInFrame lists the tokens of a frame that a rank holds.
func (r *run) heldInFrame(rank, t int) []partition.Range {
	var out []partition.Range
	frame := r.layout.TokensOf(partition.Range{Lo: t, Hi: t + 1})
	for _, h := range r.layout.Held(rank) {
		if own := h.Cut(frame); own.Len() > 0 {
			out = append(out, own)
		}
	}
	return out
}

// putCondition keeps rows of tokens, one range after the other.
func (r *run) putCondition(tokens []partition.Range, rows []float32) {
	for _, own := range tokens {
		at := r.conditionPlace(own)
		rows = rows[copy(r.conditions.rows[at.Lo:at.Hi], rows):]
	}
}

// conditionFrame returns the condition of frame t of tokens, [mask + C, PT, H, W]: channels that
// say which frames of the clip are given, then the latent of the condition.
func (r *run) conditionFrame(z *latents.File, t int) []float32 {
	g, per := r.grid, r.e.folder.VAE.TemporalScale()
	_, hasLast := r.Plan.Spec.Input(job.RoleLast)
	plane := g.H * g.W
	out := make([]float32, per*g.PT*plane)

	// A latent frame stands for `per` frames of the clip, each of which has a channel; the first one
	// stands for the clip's first frame alone, which has all of them.
	for c := range per {
		for i := range g.PT {
			frame := max(0, (t*g.PT+i-1)*per+1+c)
			if frame == 0 || hasLast && frame == r.Plan.Spec.Frames-1 {
				at := (c*g.PT + i) * plane
				for k := range plane {
					out[at+k] = 1
				}
			}
		}
	}
	return append(out, z.Frames(partition.Range{Lo: t * g.PT, Hi: (t + 1) * g.PT})...)
}
