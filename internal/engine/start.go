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
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// fillStart fills x, the values of the held tokens, with what the clip starts from: the latents of
// another clip, or those of a picture. It leaves the rest of x alone. All ranks call it together.
func (r *run) fillStart(ctx context.Context, x []float32) error {
	var err error
	switch start, _ := r.Plan.Spec.Input(job.RoleStart); start.Kind {
	case job.KindLatents:
		err = r.withStartLatents(ctx, func(z *latents.File) error {
			r.fillTokens(x, r.givenRange(), z.Frames)
			return nil
		})
	case job.KindImage:
		if start.Latents == 0 {
			return nil // the transformer is given it beside the latent
		}
		var latent []float32
		if latent, err = r.startPicture(ctx); err == nil {
			r.fillTokens(x, r.givenRange(), func(partition.Range) []float32 { return latent })
		}
	}
	if err != nil {
		return err
	}

	// What is given comes from elsewhere, and one bad value would spread to every token.
	return tensor.CheckFinite("what the clip goes on from", x)
}

// givenRange are the tokens that are there before the clip is made.
func (r *run) givenRange() partition.Range {
	return partition.Range{Hi: r.layout.Given * r.layout.PerFrame}
}

// fillTokens copies given tokens to x, as far as this rank holds them; frames returns some latent
// frames of what is given, [C, frames, H, W].
func (r *run) fillTokens(x []float32, given partition.Range,
	frames func(partition.Range) []float32) {
	g, perFrame := r.grid, r.layout.PerFrame
	for _, h := range r.layout.Held(r.Rank) {
		tokens := h.Cut(given)
		if tokens.Len() == 0 {
			continue
		}

		// Whole frames are read, of which the tokens may be a part.
		first := tokens.Lo / perFrame
		f := partition.Range{Lo: first * g.PT, Hi: (tokens.Hi + perFrame - 1) / perFrame * g.PT}
		part := g
		part.T = f.Len()
		at := r.windows.Place(tokens)
		copy(x[at.Lo:at.Hi], diffusion.Tokens(frames(f), r.e.folder.Transformer.OutChannels, part,
			tokens.Plus(-first*perFrame)))
	}
}

// withStartLatents calls f with the latents that the clip starts from, which it reads into a file
// for that time.
func (r *run) withStartLatents(ctx context.Context, f func(*latents.File) error) error {
	start, _ := r.Plan.Spec.Input(job.RoleStart)
	return r.withTempFile(func(file *os.File) error {
		err := r.copyObject(ctx, file, 0, start.Object)
		if err != nil {
			return fmt.Errorf("cannot read what the clip goes on from: %w", err)
		}
		z, err := r.openLatents(file.Name(), start.Latents)
		if err != nil {
			return fmt.Errorf("cannot go on from this latent: %w", err)
		}
		defer z.Close()
		return f(z)
	})
}

// startPicture returns the latent of the picture that the clip starts from, [C, 1, H, W]. Rank 0
// encodes it, or has it from an earlier attempt, and the others receive it.
func (r *run) startPicture(ctx context.Context) ([]float32, error) {
	n := r.e.folder.Transformer.OutChannels * r.grid.H * r.grid.W
	var latent []float32
	if r.Rank == 0 {
		if latent = r.keptPart(ctx, job.PartStart, n); latent == nil {
			var err error
			if latent, err = r.encodePicture(ctx); err != nil {
				return nil, fmt.Errorf("cannot start from this picture: %w", err)
			}
			r.keepInBackground(job.PartStart, latent, r.grid.H*r.grid.W)
		}
	}
	return r.shareFirst(ctx, collective.Tag{Op: opStart}, latent, n, "a picture's latent")
}

// encodePicture encodes the picture, fitted to the clip's size, as one latent frame [C, H, W].
func (r *run) encodePicture(ctx context.Context) (latent []float32, err error) {
	img, err := r.readPicture(ctx, job.RoleStart)
	if err != nil {
		return nil, err
	}
	s := r.Plan.Spec
	rgb := media.Fit(img, s.Width, s.Height).RGB
	encoder, err := r.e.loadEncoder(ctx)
	if err != nil {
		return nil, err
	}

	// A single frame makes a single latent frame.
	err = encoder.encode(ctx, s.Height, s.Width, 1,
		func(_ int, frame []float32) error {
			media.FromRGB(frame, rgb)
			return nil
		},
		func(_ int, z []float32) error {
			latent = z
			return nil
		})
	return latent, err
}
