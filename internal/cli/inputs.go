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

// clipInputs is what a clip is made from besides words: files, or a video of the coordinator's that
// it goes on from; zero: noise alone.
type clipInputs struct {
	files []*inputFile
	video job.ID
}

// inputFile is a file that a flag names.
type inputFile struct {
	flag  string // without dashes, for errors
	field job.Field
	path  string
	// made is the id of a video of the coordinator's, in place of a path; "": none.
	made string
	// input is the open file at path, from open to close.
	input *source.File
}

// inputFlags are the flags that name a file, each with the field that the file is.
var inputFlags = []struct{ flag, field, help string }{
	{"image", job.StartField, "picture that the clip starts from: PNG, JPEG or WebP, scaled and " +
		"cut to its size"},
	{"last-image", job.LastField, "picture that the clip ends with, likewise"},
	{"video", job.VideoField, "video to change, or that a VACE model follows: a file that ffmpeg " +
		"reads, a folder or zip of pictures or, with a coordinator, a video's id"},
	{"mask", job.MaskField, "where --video is painted anew: a picture or a video, white there"},
	{"reference", job.ReferenceField, "picture of what a VACE model is to show; may be repeated"},
	{"extend", job.StartField, "latents (of --save-latents) or, with a coordinator, id of a video " +
		"to go on from"},
	{"latent", job.LatentField, "file of the latent that the steps begin with, in place of the " +
		"seed's noise: one tensor as safetensors, or as .pt of torch.save"},
}

// defineInputs adds the flags of files. They know more than those of other fields: --extend takes a
// video's id as well.
func defineInputs(f *pflag.FlagSet) {
	for _, x := range inputFlags {
		if field, _ := job.LookupField(x.field); field.FilesMax() > 1 {
			f.StringArray(x.flag, nil, x.help)
			continue
		}
		f.String(x.flag, "", x.help)
	}
}

// readInputs takes the flags. A file of the name that --extend gives is preferred to a video of
// that id, which only a coordinator has. remote says whether there is a coordinator; without one
// only files can be meant. Nothing is opened yet.
func readInputs(f *pflag.FlagSet, remote bool) (clipInputs, error) {
	if f.Changed("image") && f.Changed("extend") {
		return clipInputs{}, daemon.Usagef("--image and --extend are given; allowed: one of them")
	}

	var c clipInputs
	for _, x := range inputFlags {
		path, _ := f.GetString(x.flag)
		if !f.Changed(x.flag) {
			continue
		}
		field, _ := job.LookupField(x.field)
		if field.FilesMax() > 1 {
			paths, _ := f.GetStringArray(x.flag)
			for _, path := range paths {
				c.files = append(c.files, &inputFile{flag: x.flag, field: field, path: path})
			}
			continue
		}
		if _, err := os.Stat(path); err != nil && x.flag == "extend" {
			// The id is not checked here: the coordinator's answer says better what is wrong with it.
			if remote && path != "" {
				c.video = job.ID(path)
				continue
			}
			return c, daemon.Usagef("--extend is %.64q, which is no file; allowed: latents (of "+
				"--save-latents), or with --coordinator the id of a video", path)
		}
		in := &inputFile{flag: x.flag, field: field, path: path}
		if _, err := os.Stat(path); err != nil && remote && field.Role == job.RoleVideo &&
			job.CheckID(job.ID(path)) == nil {
			in.made = path
		}
		c.files = append(c.files, in)
	}

	if c.video != "" && len(c.files) > 0 {
		return c, daemon.Usagef("--%s does not go with --extend of a video; leave one out",
			c.files[0].flag)
	}
	return c, nil
}

// open opens the files and looks at what they are. It runs before a cluster is started or a request
// is sent, so that a wrong file costs no time. The caller calls close, also after an error.
func (c *clipInputs) open(ctx context.Context) error {
	for _, f := range c.files {
		if err := f.open(ctx); err != nil {
			return err
		}
	}
	return nil
}

// open opens one file. Latents with --image, or a picture with --extend, are a usage error.
func (f *inputFile) open(ctx context.Context) error {
	if f.made != "" {
		return nil // the coordinator has it
	}
	in, err := source.Open(ctx, f.field, f.path)
	var wrong *job.FieldError
	switch {
	case errors.As(err, &wrong):
		return daemon.Usagef("--%s %.200s is %s; allowed: %s", f.flag, f.path, wrong.Value,
			wrong.Allowed)
	case err != nil:
		return daemon.Usagef("--%s: %w", f.flag, err)
	// What the file holds decides, not its extension.
	case f.field.Role == job.RoleStart && in.IsImage() == (f.flag == "extend"):
		in.Close()
		return daemon.Usagef("--%s %.200s is of the other kind; allowed: pictures with --image, "+
			"latents with --extend", f.flag, f.path)
	}

	f.input = in
	return nil
}

// close closes what open has opened.
func (c *clipInputs) close() {
	for _, f := range c.files {
		if f.input != nil {
			f.input.Close()
		}
	}
}

// request is r as the coordinator would understand it for model m, for a check before anything is
// sent. Latents fix the size and the frames that exist already, which the limits on the whole clip
// need. A video's id is not looked up: only a coordinator has it.
func (c *clipInputs) request(ctx context.Context, r job.Request, m job.Model) (job.Request,
	error) {
	for _, f := range c.files {
		var err error
		if r, err = f.input.Request(ctx, r, m); err != nil {
			return r, err
		}
	}
	return r, nil
}

// queue creates the video, in the way that its inputs need. Files are sent from their beginning
// with each call, so that the client may repeat a request whose connection broke.
func (c *clipInputs) queue(ctx context.Context, to *client.Client, r job.Request) (schema.Video,
	error) {
	if c.video != "" {
		return to.Extend(ctx, c.video, r)
	}

	files := c.upload()
	if len(files) > 0 {
		return to.CreateFrom(ctx, r, files...)
	}
	return to.Create(ctx, r)
}

// upload returns the files as a client sends them.
func (c *clipInputs) upload() (files []client.File) {
	for _, f := range c.files {
		if f.made != "" {
			files = append(files, client.File{Field: f.field.Name, Made: f.made})
			continue
		}
		files = append(files, client.File{Field: f.field.Name, Name: f.path,
			Reader: io.NewSectionReader(f.input, 0, source.Max)})
	}
	return files
}
