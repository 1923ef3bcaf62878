package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// output says where the results of a clip go. Nothing is ever half written there: files are made
// under a temporary name in the same folder, checked, and renamed.
type output struct {
	// Path is the clip's: a file, or a folder for PNG frames. Format follows from its extension.
	Path   string
	Format media.Format
	// Latents is the file for the latents, a safetensors file; "" for none.
	Latents string
}

// framePattern is how frames are named; a folder that holds anything else is not replaced. Five
// digits or more, as media numbers them.
var framePattern = regexp.MustCompile(`^\d{5,}\.png$`)

// checkOutput looks at the paths before any work starts: minutes of work should not end at a folder
// that does not exist. The extension decides on the format, and no extension means a folder of PNG
// frames. Any error is a usage error. What it finds may change until the clip is there; fetch then
// fails with the cause.
func checkOutput(path, latents string) (output, error) {
	f, err := media.FormatOfPath(path)
	if err != nil {
		return output{}, daemon.Usage(err)
	}

	o := output{Path: filepath.Clean(path), Format: f, Latents: latents}
	if latents != "" && filepath.Clean(latents) == o.Path {
		return o, daemon.Usagef("-o and --save-latents are both %q; allowed: two paths", path)
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

// checkFile wants a path at which a regular file is, or can be created. Devices and pipes are
// refused: a rename would replace them. Its folder has to exist: one that was created for a typo
// would be hard to find.
func checkFile(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return daemon.Usagef("output %q is not a file; choose another path", path)
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return daemon.Usagef("output %q: there is no folder %q; create it first", path, dir)
	}
	return checkWritable(path, dir)
}

// checkWritable creates and removes the temporary file with which a download begins: permissions,
// quotas and read-only mounts show themselves in no other way.
func checkWritable(path, dir string) error {
	f, err := os.CreateTemp(dir, ".longtake-*")
	if err != nil {
		cause := err
		var p *os.PathError
		if errors.As(err, &p) {
			cause = p.Err // without the temporary name
		}
		return daemon.Usagef("output %q: cannot write to folder %q: %w", path, dir, cause)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// checkFolder wants a folder that is new, empty, or holds frames only, which are replaced. Anything
// else in it may be somebody's work, so it is refused and not only left alone.
func checkFolder(path string) error {
	entries, err := os.ReadDir(path)
	if os.IsNotExist(err) {
		return checkFile(path)
	}
	if err != nil {
		return daemon.Usagef("output %q is not a folder: %w", path, err)
	}

	for _, e := range entries {
		if !framePattern.MatchString(e.Name()) {
			return daemon.Usagef("output folder %q holds %q; allowed: a new folder, an empty one, or "+
				"one of frames",
				path, e.Name())
		}
	}
	return checkWritable(path, filepath.Dir(path))
}

// fetch downloads the results of a completed video: the latents if they were asked for, then the
// clip. What the coordinator sends is compared with the sums in the video's result. If the clip
// fails, the latents that were written before it stay. A coordinator that keeps the job gives both
// again: see job fetch.
func (o output) fetch(ctx context.Context, c *client.Client, v schema.Video) error {
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

// download writes an object to a temporary file next to path, compares its size and SHA-256 with
// want, and has place put it there. Any error names path.
func download(ctx context.Context, c *client.Client, id job.ID, variant string, want job.Object,
	path string, place func(f *os.File, path string) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot fetch %s: %w", path, err)
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

	// One byte more than announced is read, so that a longer object is seen to be one.
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, max(want.Size, 0)+1))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the coordinator broke off after %d of %d bytes; its log says why", n,
			want.Size)
	}
	if err != nil {
		return err
	}

	// A sum that differs points to the coordinator's disk or to a proxy on the way. The file is not
	// put in place, and a second try may succeed.
	if got := hex.EncodeToString(h.Sum(nil)); got != want.SHA256 || n != want.Size {
		return fmt.Errorf("%d bytes with SHA-256 %s came, want %d with %s", n, got, want.Size,
			want.SHA256)
	}
	return place(f, path)
}

// rename closes f, makes it readable for all, and moves it to path, which it replaces. Temporary
// files are for their owner alone; a clip is to be shown. On one file system, which the same folder
// guarantees, the move is atomic.
func rename(f *os.File, path string) error {
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// unzip lays frames out in a folder that appears complete. Frames of another clip that were there
// are gone, so that the folder never holds those of two. f holds the archive that the coordinator
// sends for PNG, and goes when download returns.
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

	// Minutes may have passed since the first check.
	if err := checkFolder(path); err != nil {
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
