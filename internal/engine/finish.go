package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/latents"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/partition"
)

// statsBytes is the size of a rank's closing message: bytes sent, retransmits, bytes sent in steps
// and windows reused, each a little-endian uint64.
const statsBytes = 4 * 8

// sendLatents sends rank 0 the values x of the held tokens, as far as no other rank does, and
// decodes what rank 0 orders.
func (r *run) sendLatents(ctx context.Context, x []float32) error {
	if !r.causal() { // rank 0 has each block of a causal clip already
		if err := r.gather(ctx, r.Transport, r.Plan.Spec.TotalSteps(), opLatents,
			[]tokenTensor{r.heldTensor(x)}, nil); err != nil {
			return err
		}
	}

	// Rank 0 has everything now; what this rank did and has sent belongs to the clip's statistics.
	if err := r.sendReport(ctx); err != nil {
		return err
	}
	st := r.Transport.Stats()
	b := make([]byte, 0, statsBytes)
	for _, n := range []uint64{st.BytesSent, st.Retransmits, r.bytesInSteps,
		uint64(r.windowsReused)} { //nolint:gosec // from 0
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	if err := r.Transport.Send(ctx, 0, r.closingTag(opStats), b); err != nil {
		return err
	}
	return r.awaitDecodeOrder(ctx)
}

// collectLatents brings the latent [1, C, T, H, W] into a file on rank 0, and the traffic of all
// ranks into res.
func (r *run) collectLatents(ctx context.Context, x []float32, w *latents.Writer,
	res *job.Result) error {
	before := r.references() * r.layout.PerFrame
	err := r.gather(ctx, r.Transport, r.Plan.Spec.TotalSteps(), opLatents,
		[]tokenTensor{r.heldTensor(x)}, &chunkSink{
			take: func(_ int, t partition.Range, v []float32) error {
				// Reference pictures come before the clip and are left out.
				own := t.Cut(partition.Range{Lo: before, Hi: r.layout.Tokens()})
				if own.Len() > 0 {
					w.Put(own.Plus(-before), v[len(v)-own.Len()*r.e.form.TokenWidth():])
				}
				return nil
			},
			flush: func(partition.Range) error { return w.Flush() }})

	if err != nil {
		return err
	}
	return r.collectStats(ctx, res)
}

// collectStats puts the traffic of all ranks into res: each rank's closing message follows its
// latents.
func (r *run) collectStats(ctx context.Context, res *job.Result) error {
	st := r.Transport.Stats()
	res.BytesExchanged, res.Retransmits = st.BytesSent, st.Retransmits
	inSteps, reused := r.bytesInSteps, uint64(r.windowsReused) //nolint:gosec // from 0
	sent := []float64{float64(st.BytesSent)}

	for peer := 1; peer < r.Transport.Size(); peer++ {
		b, err := r.Transport.Recv(ctx, peer, r.closingTag(opStats))
		if err != nil {
			return err
		}
		if len(b) != statsBytes {
			return r.badMessage(peer, fmt.Sprintf("a message of %d", statsBytes), len(b))
		}
		res.BytesExchanged += binary.LittleEndian.Uint64(b)
		sent = append(sent, float64(binary.LittleEndian.Uint64(b)))
		res.Retransmits += binary.LittleEndian.Uint64(b[8:])
		inSteps += binary.LittleEndian.Uint64(b[16:])
		reused += binary.LittleEndian.Uint64(b[24:])
	}
	res.StepBytes = inSteps / uint64(max(1, len(r.stepTimes)))
	res.WindowsReused = int(reused) //nolint:gosec // few
	return r.collectReports(ctx, sent, res)
}

// finish is rank 0's way from the values x of its tokens to the stored objects. From here on the
// latent is in a file, of which each rank reads a frame at a time.
func (r *run) finish(ctx context.Context, x []float32) (job.Result, error) {
	if r.causal() {
		return r.finishBlocks(ctx)
	}
	res := job.Result{StepSeconds: r.medianStep().Seconds()}
	err := r.withTempFile(func(f *os.File) error {
		w, err := latents.NewWriter(f, r.e.folder.Transformer.OutChannels, r.grid, nil)
		if err != nil {
			return err
		}
		if err := r.collectLatents(ctx, x, w, &res); err != nil {
			return fmt.Errorf("%s: %w", job.StageDenoise, err)
		}

		// Of given latents no rank holds those that no window begins with.
		if in, _ := r.Plan.Spec.Input(job.RoleStart); in.Kind == job.KindLatents {
			if err := r.withStartLatents(ctx, w.Begin); err != nil {
				return err
			}
		}

		if err := r.storeLatents(ctx, f, &res); err != nil {
			return err
		}
		return r.makeVideo(ctx, f.Name(), &res)
	})
	return res, err
}

// storeLatents stores the finished latents, which are in a file.
func (r *run) storeLatents(ctx context.Context, f *os.File, res *job.Result) (err error) {
	if res.Latents, err = r.storeFinal(ctx, f); err != nil {
		return fmt.Errorf("cannot store the latents: %w", err)
	}
	r.recordLatents(ctx, res.Latents)
	return nil
}

// makeVideo decodes the latents in the file at path, whose object is stored, as far as earlier
// attempts have not, encodes the clip into a temporary file, and stores it. It fills in res, also
// where it fails.
func (r *run) makeVideo(ctx context.Context, path string, res *job.Result) error {
	err := r.withTempFile(func(f *os.File) (err error) {
		var c *clip
		if err := r.stage(job.StageDecode, func() (err error) {
			c, err = r.resumeClip(ctx, f)
			return err
		}); err != nil {
			return err
		}
		defer c.enc.Abort() // nothing, once the encoder is closed

		bands := make([]partition.Range, 1) // of nothing, where all frames are there
		if c.frames < r.Plan.Spec.Frames {
			bands = r.rowBands()
		}
		// Ranks without a band are free at once, for the next clip.
		if err := r.releaseRanks(ctx, bands); err != nil {
			return err
		}

		// The sum is of the values alone, so that it compares clips across versions of the file.
		if res.LatentsSHA256, err = r.sumLatents(ctx, path); err != nil {
			return err
		}
		res.FramesReused = c.frames
		if err := r.stage(job.StageDecode, func() error {
			return r.decode(ctx, path, res.Latents, bands, c)
		}); err != nil {
			return err
		}
		return r.storeVideo(ctx, c, res)
	})
	r.describeResult(res)
	return err
}

// storeVideo stores a clip's file, which is complete.
func (r *run) storeVideo(ctx context.Context, c *clip, res *job.Result) error {
	return r.stage(job.StageEncode, func() (err error) {
		r.report(job.StageEncode, 0, 1, 0)
		res.Video, err = r.storeFinal(ctx, c.file)
		return err
	})
}

// describeResult fills in what the rank has to tell of the clip.
func (r *run) describeResult(res *job.Result) {
	res.ContentType = media.Format(r.Plan.Spec.Format).ContentType()
	res.Seconds, res.Notices = r.stageSeconds, append(slices.Clip(r.notices), r.skips.notices()...)
}

// sumLatents returns the SHA-256 of the latents in a file.
func (r *run) sumLatents(ctx context.Context, path string) (string, error) {
	z, err := r.openLatents(path, r.grid.T)
	if err != nil {
		return "", err
	}
	defer z.Close()
	return z.SHA256(ctx)
}
