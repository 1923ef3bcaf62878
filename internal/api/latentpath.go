package api

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/api/source"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/userfile"
)

// MLPerf's client sends the path of the initial latent, on the machine of the server. A path that a
// client chooses may read nothing but what an operator has put into one folder for it: not what
// lies outside, by whatever name or link, and no pipe or device. What is read becomes the noise of
// a clip, so no answer has a byte of it.

// setLatentPath takes the path of an initial latent.
func (g *generation) setLatentPath(_ *request, name string, v value) error {
	if v.off() {
		return nil
	}
	if !v.isText() || strings.ContainsRune(v.text, 0) {
		return v.wrong(name, "a path")
	}
	g.latent = v.text
	return nil
}

// byPath words an error about the initial latent as one about the path that the request had.
func (g *generation) byPath(err error) error {
	var field *job.FieldError
	if g.latent != "" && errors.As(err, &field) && field.Field == job.LatentField {
		return &job.FieldError{Field: job.LatentPathField, Value: field.Value, Allowed: field.Allowed}
	}
	return err
}

// withLatent adds the initial latent at a path to what a request brought. It is a copy: the file of
// the operator may change meanwhile, and a temporary file is removed afterwards.
func (s *server) withLatent(in inputs, path string) (inputs, error) {
	if path == "" {
		return in, nil
	}
	field, _ := job.LookupField(job.LatentField)
	rec := &received{field: field, name: job.LatentPathField, place: &place{s: s}}
	if err := rec.place.take(); err != nil {
		return in, err
	}

	// It counts among the few inputs that the server has at a time, as a file of a form does.
	file, err := openBelow(s.generations.Latents, path)
	if err == nil {
		rec.file, err = receiveFile(io.LimitReader(file, source.LatentMax+1))
		file.Close()
	}

	if err != nil {
		rec.place.leave()
		return in, err
	}
	return append(in, rec), nil
}

// openBelow opens a regular file of a folder, by a path that is absolute or relative to it.
func openBelow(dir, path string) (*os.File, error) {
	refused := func(allowed string) error {
		return &job.FieldError{Field: job.LatentPathField, Value: strconv.Quote(shortened(path)),
			Allowed: allowed}
	}
	if dir == "" {
		return nil, refused("null, or leave it out; the coordinator's setting " +
			"http.generations-latents names no folder")
	}

	// Judged by its words first, so that nothing of it is looked up outside.
	rel := path
	if filepath.IsAbs(path) {
		var err error
		if rel, err = filepath.Rel(dir, path); err != nil {
			rel = ".."
		}
	}

	const inside = "a file in the folder of http.generations-latents"
	if !filepath.IsLocal(rel) || slices.Contains(strings.Split(filepath.ToSlash(path), "/"), "..") {
		return nil, refused(inside)
	}

	// The root follows no link that leads out of it.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the folder of latents: %w", err)
	}
	defer root.Close()

	// Why it cannot be opened is not told: that would say what else is there.
	f, err := userfile.OpenIn(root, rel)
	if err != nil {
		return nil, refused(inside + ", which is there, and is a regular file")
	}
	return f, nil
}

// shortened is a path as errors show it.
func shortened(path string) string {
	const shown = 128
	return strings.ToValidUTF8(path[:min(len(path), shown)], "?")
}
