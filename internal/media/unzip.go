package media

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Limits of a zip that Unzip accepts: files, and bytes of each.
const (
	framesMax     = 1 << 20
	frameBytesMax = 1 << 30
)

// Unzip writes the pictures of a PNG zip into the folder dir, which has to exist. It accepts no
// files but 00000.png, 00001.png and so on, in this order, so that a zip from another place cannot
// write elsewhere. It returns how many it has written, also with an error.
func Unzip(r io.ReaderAt, size int64, dir string) (int, error) {
	// NewReader reads the table at the end; no picture is read before its name is checked.
	z, err := zip.NewReader(r, size)
	if err != nil {
		return 0, fmt.Errorf("cannot read the zip of frames: %w", err)
	}

	if len(z.File) > framesMax {
		return 0, fmt.Errorf("the zip has %d files; allowed: %d", len(z.File), framesMax)
	}

	for i, f := range z.File {
		// The name is not used as a path unless it is the one expected.
		if f.Name != frameName(i) {
			return i, fmt.Errorf("file %d of the zip is %.64q; allowed: %q", i, f.Name, frameName(i))
		}
		if err := extract(f, filepath.Join(dir, frameName(i))); err != nil {
			return i, err
		}
	}
	return len(z.File), nil
}

// extract writes one file of a zip to path.
func extract(f *zip.File, path string) (err error) {
	if f.UncompressedSize64 > frameBytesMax {
		return fmt.Errorf("%s has %d bytes; allowed: %d", f.Name, f.UncompressedSize64, frameBytesMax)
	}

	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", f.Name, err)
	}
	defer r.Close()

	w, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("cannot write a frame: %w", err)
	}

	// The reader ends at the announced size, with an error if there is more.
	if _, err = io.Copy(w, r); err != nil {
		err = fmt.Errorf("cannot write %s: %w", f.Name, err)
	}

	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}
