package source

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// takesVideo reports whether a field takes a video.
func takesVideo(field job.Field) bool {
	return field.Role == job.RoleVideo || field.Role == job.RoleMask
}

// clip is what a File knows of a video, before it is looked at and after.
type clip struct {
	// stills are the frames of a clip that was made here, at their rate; nil: a file from elsewhere.
	stills *media.Stills
	rate   media.FrameRate
	// video is set by Request, which knows at which rate it is taken.
	video *media.Video
}

// Made returns the file of a clip that was made here, of a format and with a rate of its own, for a
// field that takes a video. What cannot be read here, as an MP4, is read as a file from elsewhere.
func Made(field job.Field, f *os.File, spec job.Spec) (*File, error) {
	out := &File{File: f, field: field, input: job.Input{Role: field.Role, Kind: job.KindFrames}}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	stills, err := media.OpenStills(media.Format(spec.Format), f, info.Size())
	if errors.Is(err, media.ErrNoStills) {
		return out, nil
	}
	out.clip.stills, out.clip.rate = stills, rateOf(spec.FPS)
	return out, err
}

// rateOf is a rate as media counts it.
func rateOf(r job.Rate) media.FrameRate {
	frames, seconds := r.Fraction()
	return media.FrameRate{Frames: frames, Seconds: seconds}
}

// IsFrames reports whether the file is a video, or a picture that stands for one.
func (f *File) IsFrames() bool { return f.input.Kind == job.KindFrames }

// requestFrames is Request for a video or a mask: it counts the frames, at the rate of the clip.
func (f *File) requestFrames(ctx context.Context, r job.Request, m job.Model) (job.Request, error) {
	r, err := r.Settle(m)
	if err != nil {
		return r, err
	}

	fps := m.Defaults.FPS
	if r.FPS != nil {
		fps = *r.FPS
	}
	if !(fps >= 1 && fps <= job.FPSLimit) {
		return r, &job.FieldError{Field: "fps", Value: fps.String(), Allowed: fmt.Sprintf("1 to %d",
			job.FPSLimit)}
	}

	if err := f.openVideo(ctx, rateOf(fps), r.MostFrames(m)); err != nil {
		return r, err
	}

	v := f.clip.video
	f.input.Frames = v.Frames
	if f.field.Role == job.RoleVideo {
		r = r.Edit(m, v.W, v.H, v.Frames)
		f.input.Frames = max(1, min(v.Frames, *r.Frames))
	}
	r.Inputs = append(slices.Clip(r.Inputs), f.input)
	return r, nil
}

// openVideo looks at the frames, as many as can be used. A picture, which a mask may be, is one.
func (f *File) openVideo(ctx context.Context, rate media.FrameRate, most int) (err error) {
	if f.clip.stills != nil {
		f.clip.video, err = media.StillsVideo(f.clip.stills, f.clip.rate, rate, most)
	} else {
		f.clip.video, err = media.OpenVideo(ctx, f.File, rate, most)
	}
	if errors.Is(err, media.ErrVideo) {
		return wrong(f.field, fmt.Sprintf("%.300v", err), Allowed(f.field))
	}
	return err
}

// Stored returns what is to be stored of the file for a resolved spec: the file itself, or in a
// temporary file what was made of it: of a video its frames, decoded and in the clip's size, of an
// initial latent its values. done removes that.
func (f *File) Stored(ctx context.Context, s job.Spec) (_ *os.File, done func(), err error) {
	latent := f.field.Role == job.RoleLatent
	if !f.IsFrames() && !latent {
		return f.File, func() {}, nil
	}

	out, err := os.CreateTemp("", "longtake-stored-*")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot create a temporary file: %w", err)
	}
	done = func() {
		out.Close()
		os.Remove(out.Name())
	}

	// Both read the file again: looking at it has kept nothing of its values.
	if latent {
		err = f.writeLatent(ctx, out)
	} else {
		err = f.writeFrames(ctx, out, s)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return out, done, nil
}

// writeFrames decodes the frames into a zip of PNG pictures.
func (f *File) writeFrames(ctx context.Context, out *os.File, s job.Spec) error {
	n := f.input.Frames
	enc, err := media.NewEncoder(media.PNG, out, media.Options{Width: s.Width, Height: s.Height,
		FPS: 1, Frames: n})
	if err != nil {
		return err
	}
	defer enc.Abort()

	err = f.clip.video.Read(ctx, n, func(_ int, img image.Image) error {
		return enc.Add(media.Fit(img, s.Width, s.Height))
	})
	if err == nil {
		err = enc.Close()
	}
	if errors.Is(err, media.ErrVideo) {
		return wrong(f.field, fmt.Sprintf("%.300v", err), Allowed(f.field))
	}
	return err
}
