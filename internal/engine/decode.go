package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/latents"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// decode makes the missing frames of the clip on rank 0: it puts them together from its own rows
// and those of the other ranks, and hands them to the encoder. stored is the object of the latents,
// which are in the file at path as well.
func (r *run) decode(ctx context.Context, path string, stored job.Object, bands []partition.Range,
	c *clip) error {
	from, there := r.firstMissing(c.frames)
	if err := r.orderBands(ctx, stored, bands, from); err != nil {
		return err
	}
	if r.ranksDecoding = len(bands); r.ranksDecoding > 1 {
		r.report(job.StageDecode, c.frames, r.Plan.Spec.Frames, 0)
	}

	// The encoder works on one group of frames while the next one is decoded.
	q := startEncoding(ctx, c.enc)
	defer q.stop()
	add := func(t int, rows [][]float32) error {
		frames, err := r.assemble(ctx, t, rows, bands)
		if err != nil {
			return err
		}
		if t == from {
			frames = frames[there:]
		}
		return r.timeEncoding(func() error { return q.add(frames) })
	}
	if from < r.grid.T {
		if err := r.decodeRows(ctx, path, bands[0], from, add); err != nil {
			return err
		}
	}

	return r.timeEncoding(func() error {
		if err := q.stop(); err != nil {
			return err
		}
		return c.enc.Close()
	})
}

// decodeRows decodes some rows of the latents in a file, latent frame by latent frame, and calls f
// with the rows of the frames that each becomes, from latent frame `from` on.
func (r *run) decodeRows(ctx context.Context, path string, rows partition.Range, from int,
	f func(t int, frames [][]float32) error) error {
	// The decoder's memory must not come on top of denoising's: the peak would be the sum.
	r.releaseDenoising()
	if h, ok := r.host.(MemoryHost); ok {
		h.ReleaseMemory()
	}

	z, err := r.openLatents(path, r.grid.T)
	if err != nil {
		return err
	}
	defer z.Close()
	stream, err := r.e.decoder.NewBand(r.grid.H, r.grid.W, rows)
	if err != nil {
		return err
	}
	defer stream.Free()
	stream.StopWhen(func() error { return context.Cause(ctx) })
	if err := stream.Reserve(r.grid.T - from); err != nil {
		return err
	}

	// The first latent frame becomes one frame, each other one as many as the VAE's temporal scale.
	start, total := time.Now(), r.Plan.Spec.Frames
	before := r.e.folder.VAE.FramesBefore(from)
	r.framesDecoded = before
	for t := stream.From(from); t < r.grid.T; t++ {
		frames, err := r.decodeFrame(stream, z, t)
		if err != nil {
			return err
		}
		if t < from { // it only fills the decoder's caches, on which later frames depend
			r.report(job.StageDecode, before, total, 0)
			continue
		}
		if err := f(t, frames); err != nil {
			return err
		}

		r.framesDecoded += len(frames)
		each := time.Since(start) / time.Duration(r.framesDecoded-before)
		r.report(job.StageDecode, r.framesDecoded, total, each*time.Duration(total-r.framesDecoded))
	}
	r.noteBands(stream)
	return context.Cause(ctx)
}

// decodeFrame decodes latent frame t, which may come from another rank or another attempt, so that
// it is checked first. Values that are not finite are an error that names the frame.
func (r *run) decodeFrame(s *vae.Stream, z *latents.File, t int) ([][]float32, error) {
	return r.decodeLatent(s, z.Frame(t), t)
}

// decodeLatent is decodeFrame for a latent [C, H, W] that is in memory.
func (r *run) decodeLatent(s *vae.Stream, latent []float32, t int) ([][]float32, error) {
	err := tensor.CheckFinite("the latent", latent)
	var frames [][]float32
	if err == nil {
		frames, err = s.Next(latent)
	}
	if _, bad := errors.AsType[*tensor.NotFiniteError](err); bad {
		err = fmt.Errorf("latent frame %d of %d: %w", t+1, r.grid.T, err)
	}
	return frames, err
}

// noteBands says so where the device had too little memory for whole frames: on rank 0 in the
// result, elsewhere in the node's log.
func (r *run) noteBands(s *vae.Stream) {
	n := s.Bands()
	if n == 1 {
		return
	}
	what := fmt.Sprintf("the device has too little memory to decode a frame at once; "+
		"it was done in %d bands", n)
	if r.Rank == 0 {
		r.notices = append(r.notices, what)
	} else {
		r.host.Warn(what, compute.ErrMemory)
	}
}
