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
	// Free is what this user may still take; the system may keep more for root.
	Free int64
	// Total is the size of the file system.
	Total int64
}

// Ballast is a file that keeps room back. Its methods may be called from several goroutines.
type Ballast struct {
	path string
	size int64      // in bytes, when it is held
	mu   sync.Mutex // of the file
}

// NewBallast returns the ballast at a path, without touching the file, which an earlier process may
// have left there. Size is in bytes.
func NewBallast(path string, size int64) *Ballast { return &Ballast{path: path, size: size} }

// Size returns how many bytes the file takes at present.
func (b *Ballast) Size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.there()
}

// there returns the size of the file, 0 if there is none. The caller holds mu.
func (b *Ballast) there() int64 {
	if info, err := os.Lstat(b.path); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

// Hold creates the file, unless it is there in full. If the disk has no room for all of it, nothing
// is kept and the error says so.
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

// Release removes the file, and reports whether that made any room.
func (b *Ballast) Release() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	had := b.there() > 0
	err := os.Remove(b.path)
	return had && err == nil
}

// fill writes n random bytes, which no file system can compress, where room cannot be allocated
// without writing.
func fill(f *os.File, n int64) error {
	_, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), n)
	if err == nil {
		err = f.Sync()
	}
	return err
}

// IsFull reports whether an error says that a disk, or the user's quota of it, is full. It also
// recognises the text, since some libraries pass on nothing else.
func IsFull(err error) bool {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(err.Error(), "no space left")
}
