package shard

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"

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

// handIn sends the own tokens to rank 0, where they are not known yet, waits until it has them, and
// decodes what rank 0 asks for.
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
	text, err := r.Transport.Recv(ctx, 0, r.last(opDone))
	if err != nil || len(text) == 0 {
		return err
	}
	return r.stage(job.StageDecode, func() error { return r.assist(ctx, text) })
}

// collect assembles the latent [C, T, H, W] and the traffic of all ranks on rank 0.
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

// finish is rank 0's way from its tokens to the stored objects. From here on the latent is in a
// file, of which each rank reads a frame at a time.
func (r *run) finish(ctx context.Context, own []float32) (job.Result, error) {
	res := job.Result{StepSeconds: r.medianStep().Seconds()}
	latent, err := r.collect(ctx, own, &res)
	if err != nil {
		return res, fmt.Errorf("%s: %w", job.StageDenoise, err)
	}
	shares := r.shares()
	if err := r.letGo(ctx, shares); err != nil {
		return res, err
	}
	sum := sha256.Sum256(tensor.Bytes(latent))
	res.LatentsSHA256 = hex.EncodeToString(sum[:])
	err = r.withFile(func(f *os.File) error {
		if res.Latents, err = r.storeLatents(ctx, f, latent); err != nil {
			return fmt.Errorf("cannot store the latents: %w", err)
		}
		latent = nil
		res.Video, err = r.storeVideo(ctx, f.Name(), res.Latents, shares)
		return err
	})
	res.ContentType = media.Format(r.Plan.Spec.Format).ContentType()
	res.Seconds, res.Notices = r.seconds, r.notices
	return res, err
}

// storeLatents writes the latent into f as diffusers returns it for output_type="latent", and
// stores that.
func (r *run) storeLatents(ctx context.Context, f *os.File, latent []float32) (job.Object, error) {
	g := r.grid
	t := tensor.FromFloat32(latent, 1, r.e.folder.Transformer.InChannels, g.T, g.H, g.W)
	if err := safetensors.Write(f, map[string]tensor.Tensor{"latents": t}, nil); err != nil {
		return job.Object{}, err
	}
	return r.put(ctx, f)
}

// storeVideo decodes and encodes the latent in a file into a temporary one, and stores that.
func (r *run) storeVideo(ctx context.Context, latents string, o job.Object,
	shares []partition.Range) (video job.Object, err error) {
	err = r.withFile(func(f *os.File) error {
		if err := r.stage(job.StageDecode, func() error {
			if err := r.ask(ctx, o, shares); err != nil {
				return err
			}
			return r.decode(ctx, latents, shares, f)
		}); err != nil {
			return err
		}
		return r.stage(job.StageEncode, func() (err error) {
			r.report(job.StageEncode, 0, 1, 0)
			video, err = r.put(ctx, f)
			return err
		})
	})
	return video, err
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
