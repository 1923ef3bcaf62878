package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/api/source"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
)

// clipStart is what a clip starts from: a file, or a video of the coordinator's; zero: noise alone.
type clipStart struct {
	// flag is the one that named it, without dashes, for errors: "image" or "extend".
	flag string
	// Of path and video at most one is set; both are empty for a clip from noise alone.
	path  string
	video job.ID
	// input is the open file at path, from open to close.
	input *source.File
}

// defineStart adds --image and --extend. They are no fields of the list, as each takes a file, and
// --extend a video's id as well.
func defineStart(f *pflag.FlagSet) {
	f.String("image", "", "picture that the clip starts from: PNG, JPEG or WebP, scaled and cut to"+
		" its size")
	f.String("extend", "", "latents (of --save-latents) or, with a coordinator, id of a video to go"+
		" on from")
}

// readStart takes the flags. A file of the name that --extend gives is preferred to a video of that
// id, which only a coordinator has. remote says whether there is a coordinator; without one only
// files can be meant. Nothing is opened yet.
func readStart(f *pflag.FlagSet, remote bool) (clipStart, error) {
	image, _ := f.GetString("image")
	extend, _ := f.GetString("extend")
	switch {
	case f.Changed("image") && f.Changed("extend"):
		return clipStart{}, daemon.Usagef("--image and --extend are given; allowed: one of them")
	case f.Changed("image"):
		return clipStart{flag: "image", path: image}, nil
	case !f.Changed("extend"):
		return clipStart{}, nil
	}

	if _, err := os.Stat(extend); err == nil {
		return clipStart{flag: "extend", path: extend}, nil
	}
	// The id is not checked here: the coordinator's answer says better what is wrong with it.
	if remote && extend != "" {
		return clipStart{flag: "extend", video: job.ID(extend)}, nil
	}
	return clipStart{}, daemon.Usagef("--extend is %.64q, which is no file; allowed: latents (of "+
		"--save-latents), or with --coordinator the id of a video", extend)
}

// open opens the file, if there is one, and looks at what it is. Latents with --image, or a picture
// with --extend, are a usage error. It runs before a cluster is started or a request is sent, so
// that a wrong file costs no time. The caller calls close.
func (s *clipStart) open(ctx context.Context) error {
	if s.path == "" {
		return nil
	}

	in, err := source.Open(ctx, s.path)
	var wrong *job.FieldError
	switch {
	case errors.As(err, &wrong):
		return daemon.Usagef("--%s %.200s is %s; allowed: %s", s.flag, s.path, wrong.Value, wrong.Allowed)
	case err != nil:
		return daemon.Usagef("--%s: %w", s.flag, err)
	// What the file holds decides, not its extension.
	case in.IsImage() != (s.flag == "image"):
		in.Close()
		return daemon.Usagef("--%s %.200s is of the other kind; allowed: pictures with --image, latents "+
			"with --extend", s.flag, s.path)
	}
	s.input = in
	return nil
}

// close closes what open has opened.
func (s *clipStart) close() {
	if s.input != nil {
		s.input.Close()
	}
}

// request is r as the coordinator would understand it for model m, for a check before anything is
// sent. Latents fix the size and the frames that exist already, which the limits on the whole clip
// need. A video's id is not looked up: only a coordinator has it.
func (s *clipStart) request(r job.Request, m job.Model) (job.Request, error) {
	if s.input == nil {
		return r, nil
	}
	return s.input.Request(r, m)
}

// queue creates the video, in the way that its start needs. The file is sent from its beginning
// with each call, so that the client may repeat a request whose connection broke.
func (s *clipStart) queue(ctx context.Context, c *client.Client, r job.Request) (schema.Video,
	error) {
	switch {
	case s.video != "":
		return c.Extend(ctx, s.video, r)
	case s.input != nil:
		return c.CreateFrom(ctx, r, s.path, io.NewSectionReader(s.input, 0, source.Max))
	}
	return c.Create(ctx, r)
}
