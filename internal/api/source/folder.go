package source

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/userfile"
)

// pictureEndings are those of the files of a folder that are its frames.
var pictureEndings = []string{".png", ".jpg", ".jpeg", ".webp"}

// openFolder puts the pictures of a folder into a zip, in a temporary file that is removed once it
// is closed.
func openFolder(ctx context.Context, field job.Field, dir string) (_ *File, err error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "longtake-folder-*.zip")
	if err != nil {
		return nil, fmt.Errorf("cannot create a temporary file: %w", err)
	}

	drop := func() { os.Remove(f.Name()) }
	defer func() {
		if err != nil {
			f.Close()
			drop()
		}
	}()

	z, size, frames := zip.NewWriter(f), int64(0), 0
	for _, e := range list { // in the order of their names
		if !slices.Contains(pictureEndings, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		n, err := addFile(ctx, z, dir, e.Name())
		if err != nil {
			return nil, err
		}
		if size += n; size > Max {
			return nil, wrong(field, fmt.Sprintf("a folder of more than %d bytes", Max), Allowed(field))
		}
		frames++
	}

	if frames == 0 {
		return nil, wrong(field, "a folder without pictures", "one with "+
			strings.Join(pictureEndings, ", ")+" files")
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("cannot write the frames of %s: %w", dir, err)
	}

	// The zip is then what any other file is.
	s, err := Inspect(ctx, field, f)
	if err != nil {
		return nil, err
	}
	s.drop = drop
	s.input.Object, err = artifact.Describe(ctx, f)
	return s, err
}

// addFile stores a file of a folder in a zip, and returns its size.
func addFile(ctx context.Context, z *zip.Writer, dir, name string) (int64, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	in, err := userfile.Open(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err != nil {
		return 0, fmt.Errorf("cannot write the frames of %s: %w", dir, err)
	}
	return io.Copy(out, io.LimitReader(in, Max+1))
}
