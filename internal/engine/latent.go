package engine

import (
	"context"
	"fmt"
	"os"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/latents"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// firstValues returns what the held tokens begin with, [tokens, token width]: the noise of the
// seed, or the initial latent as it is, as diffusers takes its argument latents. What some
// schedulers add after a step is the noise of the seed in both cases. An attempt that resumes has a
// checkpoint in its place, and reads no latent.
func (r *run) firstValues(ctx context.Context) ([]float32, error) {
	in, given := r.Plan.Spec.Input(job.RoleLatent)
	if !given {
		return r.noise.draw(), nil
	}

	// Every rank reads the file and keeps its own tokens, as it draws all of the noise otherwise. So
	// neither the mesh nor what each rank holds of windows changes a value.
	x := make([]float32, r.windows.Values())
	if r.Plan.Resume.Step > 0 {
		return x, nil
	}

	err := r.withInitialLatent(ctx, in, func(z *latents.File) {
		r.fillTokens(x, partition.Range{Hi: r.layout.Tokens()}, z.Frames)
	})
	if err == nil {
		err = tensor.CheckFinite("the initial latent", x)
	}
	return x, err
}

// withInitialLatent calls f with the initial latent, which it reads into a file for that time.
func (r *run) withInitialLatent(ctx context.Context, in job.Input, f func(*latents.File)) error {
	return r.withTempFile(func(file *os.File) error {
		if err := r.copyObject(ctx, file, 0, in.Object); err != nil {
			return fmt.Errorf("cannot read the initial latent: %w", err)
		}
		z, err := latents.Open(file.Name(), r.e.folder.Transformer.OutChannels, r.denoised)
		if err != nil {
			// What was stored was checked, so this is another model, or another store.
			return &InputError{fmt.Errorf("the initial latent: %w", err)}
		}
		defer z.Close()
		f(z)
		return nil
	})
}
