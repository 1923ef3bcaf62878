package api

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/longtake/longtake/internal/api/source"
	"github.com/longtake/longtake/internal/job"
)

// received is what a request brought for its clip to be made from: a temporary file, a URL that
// leads to one, or the id of a job. It has one of the server's few places for those, with the
// others of its request, until it is dropped.
type received struct {
	field job.Field
	// What the request called its field, for errors.
	name string
	// To be fetched by open; "": the file is there.
	url   string
	fetch *fetcher
	// The job whose clip it is, to be copied by open; "": none.
	made job.ID
	// A temporary file, removed by drop; nil until a URL is fetched.
	file *os.File
	// Taken before the file is written, or the URL fetched, and held until drop.
	place *place
}

// open finds out what was received: a URL is fetched, and a picture decoded. It is an error of the
// request if it is not what the field takes. The file is closed by drop.
func (in *received) open(ctx context.Context) (*source.File, error) {
	if in.url != "" {
		f, err := in.fetch.get(ctx, in.name, in.url)
		if err != nil {
			return nil, err
		}
		in.file = f
	}
	return source.Inspect(ctx, in.field, in.file)
}

// copyMade copies the clip of a job to a temporary file. A job that is not completed is
// job.ErrTransition, a 409.
func (in *received) copyMade(ctx context.Context) (*source.File, job.Spec, error) {
	s := in.place.s
	v, err := s.service.Get(ctx, in.made)
	if err != nil {
		return nil, v.Spec, err
	}
	if v.State != job.Completed {
		return nil, v.Spec, fmt.Errorf("cannot make a clip from video %s, which is %s: %w", v.ID, v.State,
			job.ErrTransition)
	}

	f, _ := fileOf(v, "video")
	src, err := s.open(ctx, v, f)
	if err != nil {
		return nil, v.Spec, err
	}
	defer src.Close()

	if in.file, err = receiveFile(src); err != nil {
		return nil, v.Spec, err
	}
	file, err := source.Made(in.field, in.file, v.Spec)
	return file, v.Spec, err
}

// drop removes the temporary file and gives the place back; of nothing, it does nothing.
func (in *received) drop() {
	if in == nil {
		return
	}
	(&reference{file: in.file}).drop()
	in.place.leave()
}

// inputs are all that a request brought.
type inputs []*received

// drop drops each of them.
func (all inputs) drop() {
	for _, in := range all {
		in.drop()
	}
}

// have reports whether there is an input of a role.
func (all inputs) have(r job.Role) bool {
	return slices.ContainsFunc(all, func(in *received) bool { return in.field.Role == r })
}
