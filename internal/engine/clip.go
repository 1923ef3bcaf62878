package engine

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// clip is the file that becomes the video, with what earlier attempts have made at its beginning.
type clip struct {
	file   *os.File
	enc    media.Encoder
	frames int // that are in the file
}

// goOn begins the clip's file: with the seconds that are kept, up to the first that cannot be used,
// or anew. They go from the object store to the file, so that memory does not grow with them.
func (r *run) goOn(ctx context.Context, f *os.File) (*clip, error) {
	s := r.Plan.Spec
	o := media.Options{Width: s.Width, Height: s.Height, Frames: s.Frames,
		Quality: s.VideoQuality}
	o.FPS, o.Per = s.FPS.Fraction()
	r.report(job.StageDecode, 0, s.Frames, 0)
	parts, size, err := r.recallSeconds(ctx, f)
	if err != nil {
		return nil, err
	}
	if parts > 0 {
		enc, frames, err := media.Continue(media.Format(s.Format), r.tap(f, parts), o, f, size)
		if err == nil {
			r.report(job.StageDecode, frames, s.Frames, 0)
			return &clip{f, enc, frames}, nil
		}
		r.host.Warn("the clip is decoded from its first frame", err)
		if err := rewind(f, 0); err != nil {
			return nil, err
		}
	}
	enc, err := media.NewEncoder(media.Format(s.Format), r.tap(f, 0), o)
	return &clip{f, enc, 0}, err
}

// recallSeconds puts the kept seconds into a file. It returns how many parts can be used, and what
// they take.
func (r *run) recallSeconds(ctx context.Context, f *os.File) (parts int, size int64, err error) {
	if !media.Format(r.Plan.Spec.Format).Continues() {
		return 0, 0, nil
	}
	for i, o := range r.Plan.Seconds() {
		if err := context.Cause(ctx); err != nil {
			return 0, 0, err
		}
		if err := r.recallSecond(ctx, f, size, o); err != nil {
			r.notices = append(r.notices, fmt.Sprintf("%s, which an earlier attempt had made, could "+
				"not be read; what follows it was decoded again", job.VideoPart(i)))
			r.spoilt(job.VideoPart(i), err)
			return i, size, rewind(f, size)
		}
		parts, size = i+1, size+o.Size
		r.report(job.StageDecode, r.framesIn(parts), r.Plan.Spec.Frames, 0)
	}
	return parts, size, nil
}

// recallSecond reads one part to an offset, and checks its SHA-256.
func (r *run) recallSecond(ctx context.Context, f *os.File, at int64, o job.Object) error {
	ctx, cancel := context.WithTimeout(ctx, partReadTime)
	defer cancel()
	return r.copyAt(ctx, f, at, o)
}

// framesIn counts the frames in so many parts.
func (r *run) framesIn(parts int) int {
	s := r.Plan.Spec
	return min(parts*s.PartSeconds()*s.FPS.PerPart(), s.Frames)
}

// rewind cuts a file off.
func rewind(f *os.File, size int64) error {
	err := f.Truncate(size)
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	return err
}

// missing returns the latent frame that makes the first missing frame, where so many are there, and
// how many of its frames are there already.
func (r *run) missing(frames int) (latent, drop int) {
	if frames == 0 {
		return 0, 0
	}
	latent = r.e.folder.VAE.LatentFrames(frames)
	return latent, frames - r.e.folder.VAE.FramesBefore(latent)
}
