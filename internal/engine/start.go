package engine

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// given fills x, the held tokens, as far as they are there before the clip is made.
func (r *run) given(ctx context.Context, x []float32) error {
	if err := r.fillGiven(ctx, x); err != nil {
		return err
	}
	return tensor.CheckFinite("what the clip goes on from", x)
}

func (r *run) fillGiven(ctx context.Context, x []float32) error {
	switch r.Plan.Spec.Source.Kind {
	case job.SourceLatents:
		return r.withStart(ctx, func(z *latentFile) error {
			r.fill(x, z.frames)
			return nil
		})
	case job.SourceImage:
		latent, err := r.picture(ctx)
		if err == nil {
			r.fill(x, func(partition.Range) []float32 { return latent })
		}
		return err
	}
	return nil
}

// fill copies given tokens to x; frames returns some frames of the given latent, [C, frames, H, W].
func (r *run) fill(x []float32, frames func(partition.Range) []float32) {
	g, per := r.grid, r.layout.PerFrame
	all := partition.Range{Hi: r.layout.Given * per}
	for _, h := range r.layout.Held(r.Rank) {
		tokens := h.Cut(all)
		if tokens.Len() == 0 {
			continue
		}
		first := tokens.Lo / per
		f := partition.Range{Lo: first * g.PT, Hi: (tokens.Hi + per - 1) / per * g.PT}
		part := g
		part.T = f.Len()
		at := r.held.Place(tokens)
		copy(x[at.Lo:at.Hi], diffusion.Tokens(frames(f), r.e.folder.Transformer.InChannels, part,
			tokens.Plus(-first*per)))
	}
}

// withStart gives f the latent that the clip goes on from.
func (r *run) withStart(ctx context.Context, f func(*latentFile) error) error {
	start := r.Plan.Spec.Source
	return r.withFile(func(file *os.File) error {
		err := r.copyTo(ctx, file, start.Object)
		if err != nil {
			return fmt.Errorf("cannot read what the clip goes on from: %w", err)
		}
		z, err := r.openLatents(file.Name(), start.Latents)
		if err != nil {
			return fmt.Errorf("cannot go on from this latent: %w", err)
		}
		defer z.file.Close()
		return f(z)
	})
}

// picture returns the latent of the picture that the clip starts from, [C, 1, H, W]: rank 0 encodes
// it, or has it from an earlier attempt, and the others receive it.
func (r *run) picture(ctx context.Context) ([]float32, error) {
	n := r.e.folder.Transformer.InChannels * r.grid.H * r.grid.W
	var own []byte
	if r.Rank == 0 {
		latent := r.part(ctx, job.PartStart, n)
		if latent == nil {
			var err error
			if latent, err = r.encodePicture(ctx); err != nil {
				return nil, fmt.Errorf("cannot start from this picture: %w", err)
			}
			r.keepBeside(job.PartStart, latent, r.grid.H*r.grid.W)
		}
		own = tensor.Bytes(latent)
	}
	world, err := r.world()
	if err != nil {
		return nil, err
	}
	all, err := world.AllGather(ctx, collective.Tag{Op: opStart}, own)
	if err != nil {
		return nil, err
	}
	if len(all[0]) != 4*n {
		return nil, r.badMessage(0, "a picture's latent", len(all[0]))
	}
	return tensor.Floats(all[0]), nil
}

// world is the group of all ranks.
func (r *run) world() (*collective.Group, error) {
	all := make([]int, r.Transport.Size())
	for i := range all {
		all[i] = i
	}
	return collective.NewGroup(r.Transport, all)
}

// encodePicture makes the picture, fitted to the clip, one latent frame [C, H, W]. The encoder is
// loaded for it and let go.
func (r *run) encodePicture(ctx context.Context) ([]float32, error) {
	var rgb []uint8
	s := r.Plan.Spec
	err := r.withFile(func(f *os.File) error {
		if err := r.copyTo(ctx, f, s.Source.Object); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		img, err := media.ReadPicture(ctx, f)
		if err == nil {
			rgb = media.Fit(img, s.Width, s.Height).RGB
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	weights, err := r.e.weights(ctx, "vae")
	if err != nil {
		return nil, err
	}
	encoder, err := vae.LoadEncoder(r.e.dev.Decode, r.e.folder.VAE, weights)
	if err != nil {
		return nil, err
	}
	stream, err := encoder.NewStream(s.Height, s.Width)
	if err != nil {
		return nil, err
	}
	defer stream.Free()
	frame := make([]float32, len(rgb))
	media.FromRGB(frame, rgb)
	latent, err := stream.Next([][]float32{frame})
	if err == nil {
		err = tensor.CheckFinite("its latent", latent)
	}
	return latent, err
}
