package api

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/disk"
	"github.com/longtake/longtake/internal/job"
)

// outbox is the folder in which clips are left for clients that share a file system with the
// coordinator. Each is called like its video. The oldest make room for new ones; nothing else in
// the folder is touched.
type outbox struct {
	dir  string // absolute
	most int64  // bytes of all clips; 0: no limit

	mu sync.Mutex // held while room is made
}

// partPrefix begins the names of files that are being written, and partAge is when one of them is
// what a coordinator left that was killed.
const (
	partPrefix = ".part-"
	partAge    = time.Hour
)

// put copies a clip of so many bytes into the folder, and returns its path. Readers see it whole or
// not at all. With no room for it the error is coord.ErrNoSpace.
func (b *outbox) put(id job.ID, ext string, size int64, in io.Reader) (path string, err error) {
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		return "", fmt.Errorf("cannot open the folder of clips: %w", err)
	}
	defer root.Close()
	// It is written under a name that no reader looks for. Two copies of one clip, as two requests
	// under the same idempotency key make, have different ones; the later takes the other's place.
	name, part := string(id)+ext, partPrefix+rand.Text()
	if err := b.makeRoom(root, name, size); err != nil {
		return "", err
	}

	if err = write(root, part, in); err == nil {
		err = root.Rename(part, name)
	}
	if err != nil {
		root.Remove(part) //nolint:errcheck // what is left is removed later
		if disk.IsFull(err) {
			return "", fmt.Errorf("cannot leave the clip in %s: %w", b.dir, coord.ErrNoSpace)
		}
		return "", fmt.Errorf("cannot leave the clip: %w", err)
	}
	return filepath.Join(b.dir, name), nil
}

// write writes a new file that others may read.
func write(root *os.Root, name string, in io.Reader) error {
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// makeRoom removes the oldest clips until one of a name and so many bytes fits, in place of one of
// its name, and parts that nobody writes any more.
func (b *outbox) makeRoom(root *os.Root, name string, size int64) error {
	if b.most > 0 && size > b.most {
		return fmt.Errorf("the clip has %d bytes, and http.generations-bytes is %d: %w", size, b.most,
			coord.ErrNoSpace)
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("cannot list the folder of clips: %w", err)
	}
	// A folder that an operator names by mistake must lose nothing: what is not called as a video's
	// id, and what is no regular file, is neither counted nor removed.
	var clips []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		stem, _, _ := strings.Cut(e.Name(), ".")
		switch {
		case err != nil || !info.Mode().IsRegular() || e.Name() == name:
		case strings.HasPrefix(e.Name(), partPrefix) && time.Since(info.ModTime()) > partAge:
			root.Remove(e.Name()) //nolint:errcheck // the next clip tries again
		case strings.HasPrefix(stem, "video_") && job.CheckID(job.ID(stem)) == nil:
			clips = append(clips, info)
			size += info.Size()
		}
	}

	// A clip that somebody reads stays readable until they close it, where the system is a Unix.
	slices.SortFunc(clips, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for i := 0; b.most > 0 && size > b.most && i < len(clips); i++ {
		if err := root.Remove(clips[i].Name()); err == nil {
			size -= clips[i].Size()
		}
	}
	return nil
}
