package engine

import (
	"context"
	"fmt"
	"os"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// startFromVideo mixes the noise x of the held tokens with the latents of the video that is
// changed, in the proportion that the first step expects. With a checkpoint, whose latent is
// already further, it does nothing. All ranks call it together.
func (r *run) startFromVideo(ctx context.Context, x []float32, sched diffusion.Scheduler) error {
	s := r.Plan.Spec
	if s.Strength == 0 || r.Plan.Resume.Step > 0 {
		return nil
	}
	late, ok := sched.(diffusion.Late)
	if !ok {
		return fmt.Errorf("scheduler %q makes no edits: it tells no noise level", s.Scheduler)
	}

	z := make([]float32, len(x))
	to := &spread{r: r, rows: z, channels: r.e.folder.Transformer.OutChannels}
	var err error
	if r.Rank != 0 {
		err = to.receive(ctx, 0, partition.Range{Hi: r.grid.T}, 0, to.channels)
	} else if err = r.sendVideo(ctx, to); err != nil {
		err = fmt.Errorf("cannot start from the video: %w", err)
	}
	if err != nil {
		return err
	}

	diffusion.AddNoise(x, z, late.Level())
	return nil
}

// sendVideo is rank 0's part of startFromVideo: it encodes the video, and gives each rank its own
// tokens of it.
func (r *run) sendVideo(ctx context.Context, to *spread) error {
	encoder, err := r.e.loadEncoder(ctx)
	if err != nil {
		return err
	}
	in, _ := r.Plan.Spec.Input(job.RoleVideo)
	return r.withFrames(ctx, in, func(frames *media.Stills) error {
		s := r.Plan.Spec
		return encoder.encode(ctx, s.Height, s.Width, s.Frames,
			func(i int, dst []float32) error { return r.readFrame(frames, i, dst) },
			func(t int, latent []float32) error {
				return to.send(ctx, 0, t, 0, latent)
			})
	})
}

// withFrames calls f with the frames of an input, which it reads into a file for that time.
func (r *run) withFrames(ctx context.Context, in job.Input, f func(*media.Stills) error) error {
	return r.withTempFile(func(file *os.File) error {
		if err := r.copyObject(ctx, file, 0, in.Object); err != nil {
			return fmt.Errorf("cannot read its frames: %w", err)
		}
		frames, err := media.OpenStills(media.PNG, file, in.Object.Size)
		if err == nil && frames.Len() < in.Frames {
			err = fmt.Errorf("it has %d frames, %d expected", frames.Len(), in.Frames)
		}
		if err != nil {
			return &InputError{err}
		}
		return f(frames)
	})
}

// readFrame writes frame i in the clip's size to dst, [H, W, 3] with values in -1..1.
func (r *run) readFrame(frames *media.Stills, i int, dst []float32) error {
	frame, err := frames.Frame(i, r.Plan.Spec.Width, r.Plan.Spec.Height)
	if err != nil {
		return &InputError{err}
	}
	media.FromRGB(dst, frame.RGB)
	return nil
}

// spread brings values from rank 0 to the ranks that hold their tokens, a latent frame at a time,
// so that no rank has more at once.
type spread struct {
	r        *run
	rows     []float32 // of the held tokens, [tokens, patch·channels]
	channels int
}

// width is the number of values in a token.
func (s *spread) width() int {
	g := s.r.denoised
	return s.channels * g.PT * g.PH * g.PW
}

// tokens lists those of latent frame t that a rank holds.
func (s *spread) tokens(rank, t int) []partition.Range {
	perFrame := s.r.layout.PerFrame
	first := t / s.r.denoised.PT * perFrame
	var out []partition.Range
	for _, h := range s.r.layout.Held(rank) {
		if c := h.Cut(partition.Range{Lo: first, Hi: first + perFrame}); c.Len() > 0 {
			out = append(out, c)
		}
	}
	return out
}

// send gives all ranks their part of latent frame t: some channels of it, [channels, H, W], from
// channel `at` on. part tells apart what is sent of one frame.
func (s *spread) send(ctx context.Context, part, t, at int, latent []float32) error {
	g := s.r.denoised
	channels := len(latent) / (g.H * g.W)
	for rank := range s.r.Transport.Size() {
		own := s.gather(s.tokens(rank, t), latent, channels)
		if rank == 0 {
			s.put(s.tokens(0, t), t, at, channels, own)
			continue
		}
		if len(own) == 0 {
			continue
		}

		if err := s.r.Transport.Send(ctx, rank, s.tag(part, t), tensor.Bytes(own)); err != nil {
			return err
		}
	}
	return nil
}

// receive takes what rank 0 sends of some latent frames.
func (s *spread) receive(ctx context.Context, part int, frames partition.Range, at,
	channels int) error {
	g := s.r.denoised
	for t := frames.Lo; t < frames.Hi; t++ {
		tokens, n := s.tokens(s.r.Rank, t), 0

		for _, o := range tokens {
			n += o.Len() * channels * g.PH * g.PW
		}
		if n == 0 {
			continue
		}

		v, err := s.r.recvFloats(ctx, s.r.Transport, 0, s.tag(part, t), n)
		if err != nil {
			return err
		}
		s.put(tokens, t, at, channels, v)
	}
	return nil
}

// gather takes tokens out of one latent frame [channels, H, W]: [tokens, ph·pw·channels].
func (s *spread) gather(tokens []partition.Range, latent []float32, channels int) []float32 {
	g := s.r.denoised
	g.T, g.PT = 1, 1
	var out []float32
	for _, o := range tokens {
		own := o.Plus(-o.Lo / s.r.layout.PerFrame * s.r.layout.PerFrame)
		out = append(out, diffusion.Tokens(latent, channels, g, own)...)
	}
	return out
}

// put writes what gather returned to the columns of its channels, from `at` on, and of its latent
// frame within the tokens.
func (s *spread) put(tokens []partition.Range, t, at, channels int, v []float32) {
	g, width := s.r.denoised, s.width()
	for _, o := range tokens {
		// Of each token, the places of its patch.
		row := s.r.windows.Place(o).Lo / s.r.e.form.TokenWidth()
		for range o.Len() {
			patch := s.rows[row*width+t%g.PT*(g.PH*g.PW*s.channels):]
			for p := range g.PH * g.PW {
				copy(patch[p*s.channels+at:][:channels], v)
				v = v[channels:]
			}
			row++
		}
	}
}
