package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

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
// decodes what rank 0 asks for.
func (r *run) handIn(ctx context.Context, x []float32) error {
	if err := r.gather(ctx, r.Transport, r.Plan.Spec.TotalSteps(), opLatents, r.latents(x),
		nil); err != nil {
		return err
	}
	st := r.Transport.Stats()
	b := binary.LittleEndian.AppendUint64(nil, st.BytesSent)
	b = binary.LittleEndian.AppendUint64(b, st.Retransmits)
	b = binary.LittleEndian.AppendUint64(b, r.stepBytes)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.reused)) //nolint:gosec // from 0
	if err := r.Transport.Send(ctx, 0, r.last(opStats), b); err != nil {
		return err
	}
	return r.serve(ctx)
}

// serve waits until rank 0 has the latent, and decodes what it asks for.
func (r *run) serve(ctx context.Context) error {
	text, err := r.Transport.Recv(ctx, 0, r.last(opDone))
	if err != nil || len(text) == 0 {
		return err
	}
	return r.stage(job.StageDecode, func() error { return r.assist(ctx, text) })
}

// latents is the latent as the ranks hold it.
func (r *run) latents(x []float32) []slab {
	return []slab{{r.saver.kept, func(t partition.Range) []float32 {
		at := r.held.Place(t)
		return x[at.Lo:at.Hi]
	}}}
}

// collect brings the latent [1, C, T, H, W] into a file on rank 0, and the traffic of all ranks
// into res.
func (r *run) collect(ctx context.Context, x []float32, f *latentWriter, res *job.Result) error {
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
	steps, reused := r.stepBytes, uint64(r.reused) //nolint:gosec // from 0
	for peer := 1; peer < r.Transport.Size(); peer++ {
		counts, err := r.receive(ctx, peer, opStats, 32)
		if err != nil {
			return err
		}
		res.BytesExchanged += binary.LittleEndian.Uint64(counts)
		res.Retransmits += binary.LittleEndian.Uint64(counts[8:])
		steps += binary.LittleEndian.Uint64(counts[16:])
		reused += binary.LittleEndian.Uint64(counts[24:])
	}
	res.StepBytes = steps / uint64(max(1, len(r.steps)))
	res.WindowsReused = int(reused) //nolint:gosec // few
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

// finish is rank 0's way from the values x of its tokens to the stored objects. From here on the
// latent is in a file, of which each rank reads a frame at a time.
func (r *run) finish(ctx context.Context, x []float32) (job.Result, error) {
	res := job.Result{StepSeconds: r.medianStep().Seconds()}
	err := r.withFile(func(f *os.File) error {
		w, err := r.newLatentWriter(f)
		if err != nil {
			return err
		}
		if err := r.collect(ctx, x, w, &res); err != nil {
			return fmt.Errorf("%s: %w", job.StageDenoise, err)
		}
		if r.Plan.Spec.Source.Kind == job.SourceLatents { // no rank holds what no window begins with
			if err := r.withStart(ctx, w.begin); err != nil {
				return err
			}
		}
		if res.Latents, err = r.put(ctx, f); err != nil {
			return fmt.Errorf("cannot store the latents: %w", err)
		}
		r.keepLatents(ctx, res.Latents)
		return r.complete(ctx, f.Name(), &res)
	})
	return res, err
}

// complete decodes the latent in a file, whose object is stored, as far as earlier attempts have
// not, and encodes it into a temporary file, which it stores.
func (r *run) complete(ctx context.Context, latents string, res *job.Result) error {
	err := r.withFile(func(f *os.File) (err error) {
		var c *clip
		if err := r.stage(job.StageDecode, func() (err error) {
			c, err = r.goOn(ctx, f)
			return err
		}); err != nil {
			return err
		}
		defer c.enc.Abort()
		shares := make([]partition.Range, 1) // of nothing, where all frames are there
		if c.frames < r.Plan.Spec.Frames {
			shares = r.shares()
		}
		if err := r.letGo(ctx, shares); err != nil {
			return err
		}
		if res.LatentsSHA256, err = r.sumOf(ctx, latents); err != nil {
			return err
		}
		res.FramesReused = c.frames
		res.Video, err = r.storeVideo(ctx, latents, res.Latents, shares, c)
		return err
	})
	res.ContentType = media.Format(r.Plan.Spec.Format).ContentType()
	res.Seconds, res.Notices = r.seconds, r.notices
	return err
}

// storeVideo decodes and encodes the latent in a file into a clip's, and stores that.
func (r *run) storeVideo(ctx context.Context, latents string, o job.Object,
	shares []partition.Range, c *clip) (video job.Object, err error) {
	if err := r.stage(job.StageDecode, func() error {
		return r.decode(ctx, latents, o, shares, c)
	}); err != nil {
		return video, err
	}
	err = r.stage(job.StageEncode, func() (err error) {
		r.report(job.StageEncode, 0, 1, 0)
		video, err = r.put(ctx, c.file)
		return err
	})
	return video, err
}

// tempFile creates a temporary file. Where the folder has gone meanwhile, as after a disk that was
// away, it is made again: without it a rank could save nothing more until its end.
func (r *run) tempFile(pattern string) (*os.File, error) {
	file, err := os.CreateTemp(r.TempDir, pattern)
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(r.TempDir, 0o700) == nil {
		file, err = os.CreateTemp(r.TempDir, pattern)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot create a temporary file: %w", err)
	}
	return file, nil
}

// withFile gives f a temporary file.
func (r *run) withFile(f func(*os.File) error) error {
	file, err := r.tempFile("object-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	return f(file)
}
