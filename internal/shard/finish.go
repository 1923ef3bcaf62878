package shard

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/partition"
)

// last tags the messages that follow the denoising loop.
func (r *run) last(op uint32) collective.Tag {
	return collective.Tag{Step: uint32(r.Plan.Spec.TotalSteps()), Op: op} //nolint:gosec // few
}

// handIn sends rank 0 the values x of the held tokens, as far as it does not know them yet, and
// waits until it has them.
func (r *run) handIn(ctx context.Context, x []float32) error {
	if err := r.gather(ctx, r.Transport, r.Plan.Spec.TotalSteps(), opLatents, r.latents(x),
		nil); err != nil {
		return err
	}
	st := r.Transport.Stats()
	b := binary.LittleEndian.AppendUint64(nil, st.BytesSent)
	b = binary.LittleEndian.AppendUint64(b, st.Retransmits)
	if err := r.Transport.Send(ctx, 0, r.last(opStats), b); err != nil {
		return err
	}
	_, err := r.Transport.Recv(ctx, 0, r.last(opDone))
	return err
}

// latents is the latent as the ranks hold it.
func (r *run) latents(x []float32) []slab {
	return []slab{{r.saver.kept, func(t partition.Range) []float32 {
		at := r.held.Place(t)
		return x[at.Lo:at.Hi]
	}}}
}

// collect brings the latent [1, C, T, H, W] into a file on rank 0, and the traffic of all ranks
// into res; then it lets the others go.
func (r *run) collect(ctx context.Context, x []float32, f *latentFile, res *job.Result) error {
	err := r.gather(ctx, r.Transport, r.Plan.Spec.TotalSteps(), opLatents, r.latents(x), &sink{
		take: func(_ int, t partition.Range, v []float32) error {
			f.put(t, v)
			return nil
		}, flush: f.flush})
	if err != nil {
		return err
	}
	st := r.Transport.Stats()
	res.BytesExchanged, res.Retransmits = st.BytesSent, st.Retransmits
	for peer := 1; peer < r.Transport.Size(); peer++ {
		counts, err := r.receive(ctx, peer, opStats, 16)
		if err != nil {
			return err
		}
		res.BytesExchanged += binary.LittleEndian.Uint64(counts)
		res.Retransmits += binary.LittleEndian.Uint64(counts[8:])
	}
	for peer := 1; peer < r.Transport.Size(); peer++ {
		if err := r.Transport.Send(ctx, peer, r.last(opDone), nil); err != nil {
			return err
		}
	}
	return nil
}

// receive waits for a closing message of n bytes.
func (r *run) receive(ctx context.Context, peer int, op uint32, n int) ([]byte, error) {
	b, err := r.Transport.Recv(ctx, peer, r.last(op))
	if err == nil && len(b) != n {
		err = r.badMessage(peer, fmt.Sprintf("a message of %d", n), len(b))
	}
	return b, err
}

// finish is rank 0's way from the values x of its tokens to the stored objects.
func (r *run) finish(ctx context.Context, x []float32) (job.Result, error) {
	res := job.Result{StepSeconds: r.medianStep().Seconds()}
	err := r.withFile(func(file *os.File) error {
		f, err := r.newLatentFile(file)
		if err != nil {
			return err
		}
		if err := r.collect(ctx, x, f, &res); err != nil {
			return fmt.Errorf("%s: %w", job.StageDenoise, err)
		}
		if res.LatentsSHA256, err = f.sum(); err != nil {
			return err
		}
		if res.Latents, err = r.put(ctx, file); err != nil {
			return fmt.Errorf("cannot store the latents: %w", err)
		}
		res.Video, err = r.storeVideo(ctx, f)
		return err
	})
	res.ContentType = media.Format(r.Plan.Spec.Format).ContentType()
	res.Seconds, res.Notices = r.seconds, r.notices
	return res, err
}

// storeVideo decodes and encodes the latent into a temporary file, and stores that.
func (r *run) storeVideo(ctx context.Context, latent *latentFile) (job.Object, error) {
	var o job.Object
	err := r.withFile(func(f *os.File) error {
		if err := r.stage(job.StageDecode, func() error { return r.decode(ctx, latent, f) }); err != nil {
			return err
		}
		return r.stage(job.StageEncode, func() (err error) {
			r.report(job.StageEncode, 0, 1, 0)
			o, err = r.put(ctx, f)
			return err
		})
	})
	return o, err
}

// withFile gives f a temporary file.
func (r *run) withFile(f func(*os.File) error) error {
	file, err := os.CreateTemp(r.TempDir, "object-*")
	if err != nil {
		return fmt.Errorf("cannot create a temporary file: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	return f(file)
}

// decode streams the latent through the VAE into the encoder, frame group by frame group. The time
// that the encoder takes counts as encoding.
func (r *run) decode(ctx context.Context, latent *latentFile, w io.Writer) error {
	s := r.Plan.Spec
	stream, err := r.e.decoder.NewStream(r.grid.H, r.grid.W)
	if err != nil {
		return err
	}
	defer stream.Free()
	enc, err := media.NewEncoder(media.Format(s.Format), w,
		media.Options{Width: s.Width, Height: s.Height, FPS: s.FPS, Frames: s.Frames})
	if err != nil {
		return err
	}
	defer enc.Abort()
	start, done := time.Now(), 0
	for t := range r.grid.T {
		z, err := latent.frame(t)
		if err != nil {
			return err
		}
		frames, err := stream.Next(z)
		if err != nil {
			return err
		}
		if err := r.encode(enc, frames); err != nil {
			return fmt.Errorf("cannot encode frames from %d: %w", done, err)
		}
		done += len(frames)
		left := time.Since(start) * time.Duration(s.Frames-done) / time.Duration(done)
		r.report(job.StageDecode, done, s.Frames, left)
		if err := r.stopped(ctx); err != nil {
			return err
		}
	}
	return enc.Close()
}

// encode adds frames [H, W, 3] to the video.
func (r *run) encode(enc media.Encoder, frames [][]float32) error {
	start, s := time.Now(), r.Plan.Spec
	defer func() {
		took := time.Since(start).Seconds()
		r.seconds[job.StageEncode] += took
		r.seconds[job.StageDecode] -= took
	}()
	for _, f := range frames {
		rgb := make([]uint8, 3*s.Width*s.Height)
		media.ToRGB(rgb, f)
		if err := enc.Add(media.Frame{W: s.Width, H: s.Height, RGB: rgb}); err != nil {
			return err
		}
	}
	return nil
}

// stopped reports whether the job must not go on.
func (r *run) stopped(ctx context.Context) error {
	if r.Cancelled != nil && r.Cancelled() {
		return ErrCancelled
	}
	return ctx.Err()
}
