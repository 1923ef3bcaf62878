package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
)

// Room is what a file system has, in bytes.
type Room struct {
	Free  int64 // for this user
	Total int64
}

// Ballast is a file that keeps room back. Its methods may be called from any goroutine.
type Ballast struct {
	path string
	size int64
	mu   sync.Mutex
}

// NewBallast returns the ballast at a path, which may be there from an earlier process.
func NewBallast(path string, size int64) *Ballast { return &Ballast{path: path, size: size} }

// Size returns how many bytes the file takes at present.
func (b *Ballast) Size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.there()
}

func (b *Ballast) there() int64 {
	if info, err := os.Lstat(b.path); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

// Hold makes the file, if it is not there in full.
func (b *Ballast) Hold() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.there() == b.size {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot keep room back: %w", err)
	}
	if err = errors.Join(allocate(f, b.size), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("cannot keep %d bytes of room back: %w", b.size, err),
			os.Remove(b.path))
	}
	return nil
}

// Release gives the room away, and reports whether there was any.
func (b *Ballast) Release() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	had := b.there() > 0
	err := os.Remove(b.path)
	return had && err == nil
}

// fill writes what no file system can make smaller.
func fill(f *os.File, n int64) error {
	_, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), n)
	if err == nil {
		err = f.Sync()
	}
	return err
}

// IsFull reports whether an error says that a disk, or what a user may have of it, is full.
// Libraries that hand on the text alone are understood as well.
func IsFull(err error) bool {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(err.Error(), "no space left")
}
