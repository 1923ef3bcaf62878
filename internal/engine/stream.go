package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/partition"
)

// streamer decodes a causal clip on rank 0 while it is made: the frames of a block are encoded, and
// their seconds stored, before the next block is begun. Decoding runs between the steps, since it
// may be on the same device as they are. Its methods belong to the goroutine that called Run.
type streamer struct {
	r      *run
	clip   *clip
	queue  *encodeQueue
	stream *vae.Stream // nil: earlier attempts have made all frames
	next   int         // the latent frame that stream takes next
	from   int         // the first latent frame that makes a missing frame
	there  int         // how many of its frames are there
	reused int         // frames that earlier attempts have made
}

// newStreamer goes on with the seconds that earlier attempts have kept. The caller closes it.
func (r *run) newStreamer(ctx context.Context) (*streamer, error) {
	f, err := r.tempFile("object-*")
	if err != nil {
		return nil, err
	}
	c, err := r.resumeClip(ctx, f)
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}

	// A decoder is needed only where frames are missing.
	s := &streamer{r: r, clip: c, queue: startEncoding(ctx, c.enc), reused: c.frames}
	s.from, s.there = r.firstMissing(c.frames)
	r.framesDecoded = c.frames
	if c.frames >= r.Plan.Spec.Frames {
		return s, nil
	}

	s.stream, err = r.e.decoder.NewBand(r.grid.H, r.grid.W, partition.Range{Hi: r.grid.H})
	if err != nil {
		s.close()
		return nil, err
	}
	s.stream.StopWhen(func() error { return context.Cause(ctx) })
	s.next = s.stream.From(s.from)
	return s, nil
}

// feed decodes n latent frames from number first on, [C, n, H, W], and hands their frames to the
// encoder. Its time counts as decoding, not as denoising.
func (s *streamer) feed(ctx context.Context, first, n int, latent []float32) error {
	start := time.Now()
	defer func() {
		took := time.Since(start).Seconds()
		s.r.stageSeconds[job.StageDecode] += took
		s.r.stageSeconds[job.StageDenoise] -= took
	}()

	for t := range n {
		if s.stream == nil || first+t < s.next {
			continue // nothing, or no cache, depends on it
		}
		if err := s.frame(ctx, first+t, latentFrame(latent, t, n, s.r.grid)); err != nil {
			return fmt.Errorf("%s: %w", job.StageDecode, err)
		}
	}
	return nil
}

// frame decodes latent frame t, [C, H, W].
func (s *streamer) frame(ctx context.Context, t int, latent []float32) error {
	r := s.r
	rows, err := r.decodeLatent(s.stream, latent, t)
	s.next = t + 1
	if err != nil || t < s.from {
		return err // before the first missing frame it only fills the decoder's caches
	}

	frames, err := r.assemble(ctx, t, rows, make([]partition.Range, 1))
	if err != nil {
		return err
	}
	if t == s.from {
		frames = frames[s.there:]
	}
	r.framesDecoded += len(frames)
	return r.timeEncoding(func() error { return s.queue.add(frames) })
}

// latentFrame returns frame t of n latent frames [C, n, H, W]: [C, H, W].
func latentFrame(latent []float32, t, n int, g partition.Grid) []float32 {
	plane := g.H * g.W
	var out []float32
	for at := t * plane; at < len(latent); at += n * plane {
		out = append(out, latent[at:at+plane]...)
	}
	return out
}

// finish ends the clip's file once all frames were fed.
func (s *streamer) finish() error {
	if s.stream != nil {
		s.r.noteBands(s.stream)
	}
	return s.r.timeEncoding(func() error {
		if err := s.queue.stop(); err != nil {
			return err
		}
		return s.clip.enc.Close()
	})
}

// close frees what the streamer has, and removes the clip's file.
func (s *streamer) close() {
	_ = s.queue.stop() // feed and finish return its error
	s.clip.enc.Abort()
	if s.stream != nil {
		s.stream.Free()
	}
	s.clip.file.Close()
	os.Remove(s.clip.file.Name())
}

// finishBlocks stores the objects of a causal clip, all of whose frames rank 0 has decoded, from
// its files.
func (r *run) finishBlocks(ctx context.Context) (res job.Result, err error) {
	b := r.blocks
	res.StepSeconds = r.medianStep().Seconds()
	if err := r.collectStats(ctx, &res); err != nil {
		return res, fmt.Errorf("%s: %w", job.StageDenoise, err)
	}
	if err := r.storeLatents(ctx, b.latents, &res); err != nil {
		return res, err
	}

	// The other ranks have nothing to decode.
	if err := r.releaseRanks(ctx, make([]partition.Range, 1)); err != nil {
		return res, err
	}

	if res.LatentsSHA256, err = r.sumLatents(ctx, b.latents.Name()); err != nil {
		return res, err
	}
	res.FramesReused = b.streamer.reused
	err = r.stage(job.StageDecode, b.streamer.finish)
	if err == nil {
		err = r.storeVideo(ctx, b.streamer.clip, &res)
	}
	r.describeResult(&res)
	return res, err
}
