package userfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// readTime bounds how long a read may block, where the system supports that: some files of /proc
// and /sys claim to be regular and wait for events.
const readTime = 10 * time.Second

// Open opens a regular file for reading, and never blocks. Anything else is an error of type
// *fs.PathError that says what it is.
func Open(path string) (*os.File, error) { return open(path, os.Stat, os.OpenFile) }

// OpenIn is Open of a path within a folder. A link that leads out of the folder is an error.
func OpenIn(root *os.Root, path string) (*os.File, error) {
	return open(path, root.Stat, root.OpenFile)
}

// open is Open with the two calls of a file system.
func open(path string, stat func(string) (fs.FileInfo, error),
	openFile func(string, int, fs.FileMode) (*os.File, error)) (*os.File, error) {
	// Opening some devices has effects of its own, so look first.
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	f, err := openFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}

	// The path may lead to something else by now.
	if info, err = f.Stat(); err == nil {
		err = regular(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// regular refuses all but regular files.
func regular(path string, info fs.FileInfo) error {
	what := ""

	switch m := info.Mode(); {
	case m.IsRegular():
		return nil
	case m.IsDir():
		what = "a folder"
	case m&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case m&fs.ModeSocket != 0:
		what = "a socket"
	case m&fs.ModeDevice != 0:
		what = "a device"
	default:
		what = "a special file"
	}
	return &fs.PathError{Op: "open", Path: path,
		Err: fmt.Errorf("it is %s; allowed: a regular file", what)}
}

// Read reads a regular file of at most limit bytes. A larger file is an error of type
// *fs.PathError, never a part of the file.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, limit)
}

// ReadFS reads a regular file of at most limit bytes from a file system, such as one of Dir. A
// folder, a pipe or a device is refused as by Open.
func ReadFS(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := regular(name, info); err != nil {
		return nil, err
	}
	return readAll(f, name, limit)
}

// readAll reads up to limit bytes. It ignores the size that the system reports: a file may grow,
// and some report 0.
func readAll(f fs.File, path string, limit int64) ([]byte, error) {
	if d, ok := f.(interface{ SetReadDeadline(time.Time) error }); ok {
		d.SetReadDeadline(time.Now().Add(readTime)) // fails for files that never block
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path,
			Err: fmt.Errorf("it has more than %d bytes; allowed: up to %d", limit, limit)}
	}
	return data, nil
}

// Dir returns the file system of a folder, like os.DirFS. Its Open never blocks and refuses all but
// regular files and folders. Models are read through it, since a folder of weights may come from
// anywhere.
func Dir(root string) fs.FS { return dir(root) }

// dir is the path of the folder.
type dir string

// path returns the path of a file in the folder. Links may lead out of it, as those of a download
// cache do.
func (d dir) path(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return filepath.Join(string(d), filepath.FromSlash(name)), nil
}

// Open implements fs.FS.
func (d dir) Open(name string) (fs.File, error) {
	path, err := d.path("open", name)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return os.Open(path)
	}
	return Open(path)
}

// Stat implements fs.StatFS.
func (d dir) Stat(name string) (fs.FileInfo, error) {
	path, err := d.path("stat", name)
	if err != nil {
		return nil, err
	}
	return os.Stat(path)
}

// ReadDir implements fs.ReadDirFS.
func (d dir) ReadDir(name string) ([]fs.DirEntry, error) {
	path, err := d.path("readdir", name)
	if err != nil {
		return nil, err
	}
	return os.ReadDir(path)
}
