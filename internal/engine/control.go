package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
)

// controlled is what controls the clip of a VACE model, on one rank.
type controlled struct {
	rows  []float32 // of the held tokens, [tokens, control width]; nil: nothing controls the clip
	width int       // of a token's control
	// What rows the sequence has now: which sequence, and its window.
	seq    *wan.Sequence
	window partition.Range
}

// The parts of a frame's control, as they travel: the latents of what stays, those of what is made
// anew, and the mask.
const (
	controlInactive = 1 + iota
	controlReactive
	controlMask
)

// tag tells the parts of a frame apart.
func (s *spread) tag(part, t int) collective.Tag {
	return collective.Tag{Step: uint32(t), Op: op(opEdit, part)} //nolint:gosec // few
}

// references returns how many frames, counted in tokens, of the latent that is denoised are those
// of reference pictures.
func (r *run) references() int { return (r.denoised.T - r.grid.T) / r.grid.PT }

// loadControl makes the control of the held tokens, for a model that is controlled: of each latent
// frame of the video the part that stays and the part that is made anew, as latents, and the mask
// (WanVACEPipeline.prepare_video_latents and prepare_masks). Rank 0 encodes, and every rank gets
// what it holds. All ranks call it together.
func (r *run) loadControl(ctx context.Context) error {
	c := &r.control
	if c.width = r.e.form.ControlWidth(); c.width == 0 {
		return nil
	}

	c.rows = make([]float32, r.windows.Values()/r.e.form.TokenWidth()*c.width)
	to := &spread{r: r, rows: c.rows, channels: r.e.folder.Transformer.VaceInChannels}
	if r.Rank == 0 {
		err := r.sendControl(ctx, to)
		if err != nil {
			err = fmt.Errorf("cannot read what controls the clip: %w", err)
		}
		return err
	}

	z, refs := r.e.folder.VAE.ZDim, r.Plan.Spec.References()
	all, video := partition.Range{Hi: r.denoised.T}, partition.Range{Lo: refs, Hi: r.denoised.T}
	for _, part := range []struct {
		part, at, channels int
		frames             partition.Range
	}{
		{controlInactive, 0, z, all}, // of reference pictures, too
		{controlReactive, z, z, video},
		{controlMask, 2 * z, to.channels - 2*z, video},
	} {

		if err := to.receive(ctx, part.part, part.frames, part.at, part.channels); err != nil {
			return err
		}
	}
	return nil
}

// setControl gives a sequence the control of a pass's window, unless it has that.
func (r *run) setControl(seq *wan.Sequence, p diffusion.Pass, window partition.Range) error {
	c := &r.control
	if c.rows == nil || c.seq == seq && c.window == window {
		return nil
	}

	at := r.windows.Place(r.layout.Own(p.Step, r.Rank, p.Window))
	lo, hi := at.Lo/r.e.form.TokenWidth()*c.width, at.Hi/r.e.form.TokenWidth()*c.width

	scales := slices.Repeat([]float32{float32(r.Plan.Spec.ConditioningScale)},
		r.e.form.ControlLayers())
	c.seq, c.window = seq, window
	return seq.Control(c.rows[lo:hi], scales)
}

// controlSource is the frames of rank 0 that control a clip.
type controlSource struct {
	r     *run
	video *media.Stills // nil: 0, the grey in the middle of the range
	mask  *media.Stills // nil: all is made anew
	cover []float32     // of the frame under way, [H, W, 3] in 0..1
}

// sendControl is rank 0's part of loadControl.
func (r *run) sendControl(ctx context.Context, to *spread) error {
	encoder, err := r.e.loadEncoder(ctx)
	if err != nil {
		return err
	}

	s := r.Plan.Spec
	c := &controlSource{r: r, cover: make([]float32, s.Height*s.Width*3)}
	return c.open(ctx, job.RoleVideo, &c.video, func() error {
		return c.open(ctx, job.RoleMask, &c.mask, func() error { return c.send(ctx, encoder, to) })
	})
}

// open calls f while the frames of a role are there, if the clip has any.
func (c *controlSource) open(ctx context.Context, role job.Role, at **media.Stills,
	f func() error) error {
	in, ok := c.r.Plan.Spec.Input(role)
	if !ok {
		return f()
	}
	return c.r.withFrames(ctx, in, func(frames *media.Stills) error {
		*at = frames
		return f()
	})
}

// send sends the control's parts in the order in which loadControl receives them.
func (c *controlSource) send(ctx context.Context, encoder *frameEncoder, to *spread) error {
	s, refs, z := c.r.Plan.Spec, c.r.Plan.Spec.References(), c.r.e.folder.VAE.ZDim
	if err := c.sendReferences(ctx, encoder, to); err != nil {
		return err
	}

	for i, part := range []int{controlInactive, controlReactive} {
		err := encoder.encode(ctx, s.Height, s.Width, s.Frames,
			func(n int, dst []float32) error { return c.frame(n, dst, part == controlReactive) },
			func(t int, latent []float32) error {
				return to.send(ctx, part, refs+t, i*z, latent)
			})
		if err != nil {
			return err
		}
	}

	frames := c.r.grid.T
	for t := range frames {
		// The frame of the clip that stands for the latent frame, as torch's nearest-exact picks it.
		n := int((float32(t) + 0.5) * (float32(s.Frames) / float32(frames)))
		if err := c.readMask(min(n, s.Frames-1)); err != nil {
			return err
		}
		if err := to.send(ctx, controlMask, refs+t, 2*z, c.unshuffled()); err != nil {
			return err
		}
	}
	return nil
}

// frame writes what stays of frame n, or what is made anew, to dst; the rest of it is 0.
func (c *controlSource) frame(n int, dst []float32, reactive bool) error {
	clear(dst)
	if c.video == nil {
		return nil
	}
	if err := c.readMask(n); err != nil {
		return err
	}
	if err := c.r.readFrame(c.video, n, dst); err != nil {
		return err
	}

	const half = 0.5
	for i, m := range c.cover {
		if (m > half) != reactive {
			dst[i] = 0
		}
	}
	return nil
}

// readMask reads the mask of frame n; a mask of one frame is for all.
func (c *controlSource) readMask(n int) error {
	if c.mask == nil {
		for i := range c.cover {
			c.cover[i] = 1
		}
		return nil
	}

	if c.mask.Len() == 1 {
		n = 0
	}
	if err := c.r.readFrame(c.mask, n, c.cover); err != nil {
		return fmt.Errorf("the mask: %w", err)
	}
	for i, v := range c.cover {
		c.cover[i] = (v + 1) / 2
	}
	return nil
}

// unshuffled returns the mask's red at the latent's resolution: the pixels of each place become
// channels, [scale·scale, H, W].
func (c *controlSource) unshuffled() []float32 {
	g, scale := c.r.grid, c.r.e.folder.VAE.SpatialScale()
	width := c.r.Plan.Spec.Width
	out := make([]float32, 0, scale*scale*g.H*g.W)
	for i := range scale * scale {
		for y := range g.H {
			for x := range g.W {
				pixel := (y*scale+i/scale)*width + x*scale + i%scale
				out = append(out, c.cover[3*pixel])
			}
		}
	}
	return out
}

// sendReferences encodes the reference pictures. diffusers puts each one before those that it has
// already, so the first one comes last. Their reactive part and their mask are 0.
func (c *controlSource) sendReferences(ctx context.Context, encoder *frameEncoder,
	to *spread) error {
	s, before := c.r.Plan.Spec, c.r.Plan.Spec.References()
	latents := make([][]float32, before)
	for _, in := range s.Inputs {
		if in.Role != job.RoleReference {
			continue
		}
		picture, err := c.reference(ctx, in)
		if err != nil {
			return fmt.Errorf("a reference picture: %w", err)
		}

		before--
		if err := encoder.encode(ctx, s.Height, s.Width, 1,
			func(_ int, dst []float32) error {
				copy(dst, picture)
				return nil
			},
			func(_ int, latent []float32) error {
				latents[before] = latent
				return nil
			}); err != nil {
			return err
		}
	}

	for t, latent := range latents {
		if err := to.send(ctx, controlInactive, t, 0, latent); err != nil {
			return err
		}
	}
	return nil
}

// reference reads a reference picture, shown whole in the clip's size, [H, W, 3].
func (c *controlSource) reference(ctx context.Context, in job.Input) (v []float32, err error) {
	s := c.r.Plan.Spec
	err = c.r.withTempFile(func(f *os.File) error {
		if err := c.r.copyObject(ctx, f, 0, in.Object); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}

		img, err := media.ReadPicture(ctx, f)
		if errors.Is(err, media.ErrPicture) {
			err = &InputError{err}
		}
		if err == nil {
			v = media.Contain(img, s.Width, s.Height)
		}
		return err
	})
	return v, err
}
