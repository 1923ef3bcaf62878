package shard

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// last tags the messages that follow the denoising loop.
func (r *run) last(op uint32) collective.Tag {
	return collective.Tag{Step: uint32(r.Plan.Spec.Steps), Op: op}
}

// handIn sends the own tokens to rank 0, where they are not known yet, and waits until it has them.
func (r *run) handIn(ctx context.Context, own []float32) error {
	if r.Rank.Rank < r.Plan.Mesh.Ulysses {
		if err := r.Transport.Send(ctx, 0, r.last(opLatents), tensor.Bytes(own)); err != nil {
			return err
		}
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

// collect assembles the latent [C, T, H, W] and the traffic of all ranks on rank 0, then lets the
// others go.
func (r *run) collect(ctx context.Context, own []float32, res *job.Result) ([]float32, error) {
	channels := r.e.folder.Transformer.InChannels
	latent := make([]float32, channels*r.grid.T*r.grid.H*r.grid.W)
	diffusion.Scatter(latent, own, channels, r.grid, r.seq.Own())
	ranges := partition.Even(r.grid.Tokens(), r.Plan.Mesh.Ulysses)
	st := r.Transport.Stats()
	res.BytesExchanged, res.Retransmits = st.BytesSent, st.Retransmits
	for peer := 1; peer < r.Transport.Size(); peer++ {
		if peer < len(ranges) {
			tokens, err := r.receive(ctx, peer, opLatents, 4*ranges[peer].Len()*r.e.dit.TokenWidth())
			if err != nil {
				return nil, err
			}
			diffusion.Scatter(latent, tensor.Floats(tokens), channels, r.grid, ranges[peer])
		}
		counts, err := r.receive(ctx, peer, opStats, 16)
		if err != nil {
			return nil, err
		}
		res.BytesExchanged += binary.LittleEndian.Uint64(counts)
		res.Retransmits += binary.LittleEndian.Uint64(counts[8:])
	}
	for peer := 1; peer < r.Transport.Size(); peer++ {
		if err := r.Transport.Send(ctx, peer, r.last(opDone), nil); err != nil {
			return nil, err
		}
	}
	return latent, nil
}

// receive waits for a closing message of n bytes.
func (r *run) receive(ctx context.Context, peer int, op uint32, n int) ([]byte, error) {
	b, err := r.Transport.Recv(ctx, peer, r.last(op))
	if err == nil && len(b) != n {
		err = r.badMessage(peer, fmt.Sprintf("a message of %d", n), len(b))
	}
	return b, err
}

// finish is rank 0's way from its tokens to the stored objects.
func (r *run) finish(ctx context.Context, own []float32) (job.Result, error) {
	res := job.Result{StepSeconds: r.medianStep().Seconds()}
	latent, err := r.collect(ctx, own, &res)
	if err != nil {
		return res, fmt.Errorf("%s: %w", job.StageDenoise, err)
	}
	if res.Latents, err = r.storeLatents(ctx, latent); err != nil {
		return res, fmt.Errorf("cannot store the latents: %w", err)
	}
	r.keepLatents(ctx, res.Latents)
	return r.complete(ctx, latent, res)
}

// complete decodes the latent, whose object is stored.
func (r *run) complete(ctx context.Context, latent []float32, res job.Result) (job.Result, error) {
	sum := sha256.Sum256(tensor.Bytes(latent))
	res.LatentsSHA256 = hex.EncodeToString(sum[:])
	var err error
	res.Video, err = r.storeVideo(ctx, latent)
	res.ContentType = media.Format(r.Plan.Spec.Format).ContentType()
	res.Seconds, res.Notices = r.seconds, r.notices
	return res, err
}

// storeLatents writes the latent as diffusers returns it for output_type="latent".
func (r *run) storeLatents(ctx context.Context, latent []float32) (job.Object, error) {
	g := r.grid
	t := tensor.FromFloat32(latent, 1, r.e.folder.Transformer.InChannels, g.T, g.H, g.W)
	var o job.Object
	err := r.withFile(func(f *os.File) error {
		err := safetensors.Write(f, map[string]tensor.Tensor{"latents": t}, nil)
		if err == nil {
			o, err = r.put(ctx, f)
		}
		return err
	})
	return o, err
}

// storeVideo decodes and encodes the latent into a temporary file, and stores that.
func (r *run) storeVideo(ctx context.Context, latent []float32) (job.Object, error) {
	var o job.Object
	err := r.withFile(func(f *os.File) error {
		if err := r.stage(job.StageDecode, func() error {
			return r.decode(ctx, latent, r.share(f))
		}); err != nil {
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
func (r *run) decode(ctx context.Context, latent []float32, w io.Writer) error {
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
		frames, err := stream.Next(r.latentFrame(latent, t))
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

// latentFrame cuts frame t, [C, H, W], out of the latent [C, T, H, W].
func (r *run) latentFrame(latent []float32, t int) []float32 {
	n, g := r.grid.H*r.grid.W, r.grid
	out := make([]float32, 0, r.e.folder.Transformer.InChannels*n)
	for c := range r.e.folder.Transformer.InChannels {
		at := (c*g.T + t) * n
		out = append(out, latent[at:at+n]...)
	}
	return out
}
