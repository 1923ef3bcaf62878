package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/pflag"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
)

// source is what a clip starts from: a file or a video of the coordinator's; zero: nothing.
type source struct {
	flag  string // that names it
	path  string
	video job.ID
	input *api.Input // the open file
}

func defineStart(f *pflag.FlagSet) {
	f.String("image", "", "picture that the clip starts from: PNG, JPEG or WebP, scaled and cut to"+
		" its size")
	f.String("extend", "", "latents (of --save-latents) or, with a coordinator, id of a video to go"+
		" on from")
}

// readStart takes the flags; what --extend names is a file if there is one.
func readStart(f *pflag.FlagSet, remote bool) (source, error) {
	image, _ := f.GetString("image")
	extend, _ := f.GetString("extend")
	switch {
	case f.Changed("image") && f.Changed("extend"):
		return source{}, daemon.Usagef("--image and --extend are given; allowed: one of them")
	case f.Changed("image"):
		return source{flag: "image", path: image}, nil
	case !f.Changed("extend"):
		return source{}, nil
	}
	if _, err := os.Stat(extend); err == nil {
		return source{flag: "extend", path: extend}, nil
	}
	if remote && extend != "" {
		return source{flag: "extend", video: job.ID(extend)}, nil
	}
	return source{}, daemon.Usagef("--extend is %.64q, which is no file; allowed: latents (of "+
		"--save-latents), or with --coordinator the id of a video", extend)
}

// open reads the file, if there is one.
func (s *source) open(ctx context.Context) error {
	if s.path == "" {
		return nil
	}
	in, err := api.OpenInput(ctx, s.path)
	var wrong *job.FieldError
	switch {
	case errors.As(err, &wrong):
		return daemon.Usagef("--%s %.200s is %s; allowed: %s", s.flag, s.path, wrong.Value, wrong.Allowed)
	case err != nil:
		return daemon.Usagef("--%s: %w", s.flag, err)
	case in.IsImage() != (s.flag == "image"):
		in.Close()
		return daemon.Usagef("--%s %.200s is of the other kind; allowed: pictures with --image, latents "+
			"with --extend", s.flag, s.path)
	}
	s.input = in
	return nil
}

func (s *source) close() {
	if s.input != nil {
		s.input.Close()
	}
}

// request is what the coordinator would be asked for.
func (s *source) request(r job.Request, m job.Model) (job.Request, error) {
	if s.input == nil {
		return r, nil
	}
	return s.input.Request(r, m)
}

// queue creates the video.
func (s *source) queue(ctx context.Context, c *api.Client, r job.Request) (api.Video, error) {
	switch {
	case s.video != "":
		return c.Extend(ctx, s.video, r)
	case s.input != nil:
		return c.CreateFrom(ctx, r, s.input)
	}
	return c.Create(ctx, r)
}
