package engine

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// clip is the file that becomes the video, on rank 0.
type clip struct {
	file   *os.File
	enc    media.Encoder
	frames int // that earlier attempts have made, at the file's beginning
}

// resumeClip begins the clip's file with the seconds that earlier attempts have kept, up to the
// first that cannot be used. They go from the object store to the file, so that memory does not
// grow with them. The caller closes the encoder or aborts it.
func (r *run) resumeClip(ctx context.Context, f *os.File) (*clip, error) {
	s := r.Plan.Spec
	o := media.Options{Width: s.Width, Height: s.Height, Frames: s.Frames,
		Quality: s.VideoQuality}
	o.FPS, o.Per = s.FPS.Fraction()
	r.reportFrames(0)

	parts, size, err := r.copySeconds(ctx, f)
	if err != nil {
		return nil, err
	}
	if parts > 0 {
		enc, frames, err := media.Continue(media.Format(s.Format), r.tapParts(f, parts), o, f, size)
		if err == nil {
			r.reportFrames(frames)
			return &clip{f, enc, frames}, nil
		}
		r.host.Warn("the clip is decoded from its first frame", err)
		if err := truncate(f, 0); err != nil {
			return nil, err
		}
	}
	enc, err := media.NewEncoder(media.Format(s.Format), r.tapParts(f, 0), o)
	return &clip{f, enc, 0}, err
}

// reportFrames reports frames that are there, unless the clip is still being made.
func (r *run) reportFrames(n int) {
	if r.blocks == nil {
		r.report(job.StageDecode, n, r.Plan.Spec.Frames, 0)
	}
}

// copySeconds copies the kept seconds to a file, one after the other. It returns how many parts can
// be used and how many bytes they have; the file has no others.
func (r *run) copySeconds(ctx context.Context, f *os.File) (parts int, size int64, err error) {
	s := r.Plan.Spec
	if !media.Format(s.Format).Continues() {
		return 0, 0, nil
	}

	// A part is a run of whole seconds, so each but the clip's last has the same number of frames.
	framesPerPart := s.PartSeconds() * s.FPS.PerPart()
	for i, o := range r.Plan.Seconds() {
		if err := context.Cause(ctx); err != nil {
			return 0, 0, err
		}

		// What follows a second that is missing cannot be used, since frames come in their order.
		short, cancel := context.WithTimeout(ctx, partReadTime)
		err := r.copyObject(short, f, size, o)
		cancel()
		if err != nil {
			r.notices = append(r.notices, fmt.Sprintf("%s, which an earlier attempt had made, could "+
				"not be read; what follows it was decoded again", job.VideoPart(i)))
			r.warnDamaged(job.VideoPart(i), err)
			return i, size, truncate(f, size)
		}

		parts, size = i+1, size+o.Size
		r.reportFrames(min(parts*framesPerPart, s.Frames))
	}
	return parts, size, nil
}

// truncate cuts a file off, and leaves its offset there.
func truncate(f *os.File, size int64) error {
	err := f.Truncate(size)
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	return err
}

// firstMissing returns the latent frame that makes the first missing frame of a clip whose first
// frames are there, and how many of the frames that it makes are there already.
func (r *run) firstMissing(frames int) (latent, there int) {
	if frames == 0 {
		return 0, 0
	}
	latent = r.e.folder.VAE.LatentFrames(frames)
	return latent, frames - r.e.folder.VAE.FramesBefore(latent)
}
