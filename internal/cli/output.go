package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// output says where results go.
type output struct {
	Path    string // of the video: a file, or a folder for PNG frames
	Format  media.Format
	Latents string // file for the latents; "": none
}

var framePattern = regexp.MustCompile(`^\d{5,}\.png$`)

// checkOutput looks at the paths before any work starts.
func checkOutput(path, latents string) (output, error) {
	f, err := media.FormatOfPath(path)
	if err != nil {
		return output{}, &usageError{err}
	}
	o := output{Path: filepath.Clean(path), Format: f, Latents: latents}
	if latents != "" && filepath.Clean(latents) == o.Path {
		return o, usage("-o and --save-latents are both %q; allowed: two paths", path)
	}
	if f == media.PNG {
		err = checkFolder(o.Path)
	} else {
		err = checkFile(o.Path)
	}
	if err == nil && latents != "" {
		err = checkFile(latents)
	}
	return o, err
}

func checkFile(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return usage("output %q is not a file; choose another path", path)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return usage("output %q: there is no folder %q; create it first", path, filepath.Dir(path))
	}
	return nil
}

// checkFolder wants one that is new, empty, or holds frames only, which will be replaced.
func checkFolder(path string) error {
	entries, err := os.ReadDir(path)
	if os.IsNotExist(err) {
		return checkFile(path)
	}
	if err != nil {
		return usage("output %q is not a folder: %w", path, err)
	}
	for _, e := range entries {
		if !framePattern.MatchString(e.Name()) {
			return usage("output folder %q holds %q; allowed: a new folder, an empty one, or one of frames",
				path, e.Name())
		}
	}
	return nil
}

// fetch stores the results of a completed video. Files appear complete or not at all.
func (o output) fetch(ctx context.Context, c *api.Client, v api.Video) error {
	r := v.Details.Result
	if r == nil {
		return fmt.Errorf("video %s has no result, it is %s", v.ID, v.Details.State)
	}
	if o.Latents != "" {
		if err := download(ctx, c, v.ID, "latents", r.Latents, o.Latents, rename); err != nil {
			return err
		}
	}
	if o.Path == "" {
		return nil
	}
	place := rename
	if o.Format == media.PNG {
		place = unzip
	}
	return download(ctx, c, v.ID, "video", r.Video, o.Path, place)
}

// download writes an object to a temporary file beside path, checks it, and has place put it there.
func download(ctx context.Context, c *api.Client, id job.ID, variant string, want job.Object,
	path string, place func(f *os.File, path string) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write %s: %w", path, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), ".longtake-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after a rename
	defer f.Close()
	r, err := c.Content(ctx, id, variant)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), r)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.SHA256 || n != want.Size {
		return fmt.Errorf("%d bytes with SHA-256 %s came, want %d with %s", n, got, want.Size,
			want.SHA256)
	}
	return place(f, path)
}

func rename(f *os.File, path string) error {
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// unzip lays frames out in a folder that appears complete; frames that were there are gone.
func unzip(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".longtake-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // gone after a rename
	if _, err := media.Unzip(f, info.Size(), dir); err != nil {
		return err
	}
	if err := checkFolder(path); err != nil { // again: it holds nothing but frames
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as mkdir does
		return err
	}
	return os.Rename(dir, path)
}
