package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/longtake/longtake/internal/job"
)

// Store keeps objects. Its methods may be called from several goroutines, and end when ctx does.
type Store interface {
	// Put reads r from its start to its end, twice: for the name, then to store it. Storing the same
	// bytes again repairs an object that is damaged and changes nothing otherwise. ErrFull if there
	// is no room.
	Put(ctx context.Context, r io.ReadSeeker) (job.Object, error)
	// Get opens an object. The reader fails with ErrDamaged, at the end at the latest, when the
	// bytes are not those that o names; the caller closes it. ErrNotFound if there is none.
	Get(ctx context.Context, o job.Object) (io.ReadCloser, error)
	// Open opens an object to be read from any offset. The first time it reads all of it, chunk by
	// chunk, and returns ErrDamaged if the bytes are not those that o names. After that only the
	// chunks that are read are checked, by the sums of the first time.
	Open(ctx context.Context, o job.Object) (io.ReadSeekCloser, error)
	// Delete removes an object if it is there.
	Delete(ctx context.Context, o job.Object) error
	// List returns the names of all objects.
	List(ctx context.Context) ([]string, error)
}

// Sizer is a Store that knows how many bytes its objects take. The coordinators ask it to hold
// stored clips to limits.disk; both stores of this package are one.
type Sizer interface {
	// Size returns them, with those of objects that are stored in part.
	Size(ctx context.Context) (bytes int64, err error)
}

// Errors of a store; test with errors.Is.
var (
	// ErrNotFound is also an fs.ErrNotExist.
	ErrNotFound = fmt.Errorf("no such object: %w", fs.ErrNotExist)
	// ErrDamaged: the bytes are not those that the name promises.
	ErrDamaged = errors.New("the object is damaged")
	// ErrFull: the store has no room at the moment. Nothing is wrong with the object.
	ErrFull = errors.New("the object store is full")
)

// namePrefix comes before the SHA-256 in an object's name. It names the hash, so that another one
// could be introduced later without ambiguity.
const namePrefix = "sha256-"

// Describe reads r to its end and returns the object that names its bytes; r is back at the start.
// Nothing is stored: callers learn what an object will be called before they store it.
func Describe(ctx context.Context, r io.ReadSeeker) (job.Object, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return job.Object{}, err
	}
	h := sha256.New()
	n, err := io.Copy(h, contextReader{ctx, r})
	if err != nil {
		return job.Object{}, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return job.Object{}, err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	return job.Object{Name: namePrefix + sum, Size: n, SHA256: sum}, nil
}

// Named returns the object of a name that List gave, with size 0, since List does not tell it. It
// can be deleted, but not read.
func Named(name string) job.Object {
	return job.Object{Name: name, SHA256: strings.TrimPrefix(name, namePrefix)}
}

// contextReader fails when its context has ended, so that a long read can be cancelled.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
