package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// While the coordinators have no majority the object store is away; that is no fault of the clip or
// of this machine, so a rank waits for it. An object that is not there is looked for again for a
// while, since a replica of the store may lag behind.
const (
	storePatience = 2 * time.Minute
	lagPatience   = 5 * time.Second
	storePause    = 250 * time.Millisecond
)

// RetryStore repeats f, which uses the object store, until it succeeds, its error cannot pass by
// itself (the object is damaged, or it is refused, then as ErrRefused), or patience runs out. Where
// the store is full it waits without a limit. It ends with the cause of ctx when ctx ends.
func RetryStore(ctx context.Context, f func() error) error {
	start := time.Now()
	for {
		err := f()
		limit := storePatience
		if errors.Is(err, artifact.ErrRefused) {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if errors.Is(err, artifact.ErrNotFound) {
			limit = lagPatience
		}
		if errors.Is(err, artifact.ErrFull) {
			start = time.Now() // it ends when an operator makes room, and the work is done by then
		}
		if err == nil || errors.Is(err, artifact.ErrDamaged) || errors.Is(err, ErrRefused) ||
			time.Since(start) > limit {
			return err
		}

		select {
		case <-ctx.Done():
			return context.Cause(ctx) // which says more than the store's last error
		case <-time.After(storePause):
		}
	}
}

// storeFinal stores what the job is for, the latents or the clip. It waits for room as long as that
// takes, and warns once.
func (r *run) storeFinal(ctx context.Context, f io.ReadSeeker) (job.Object, error) {
	return r.storeObject(ctx, f, true)
}

// storePart stores what a later attempt could use. The host keeps some room from it, so that final
// objects fit.
func (r *run) storePart(ctx context.Context, f io.ReadSeeker) (job.Object, error) {
	return r.storeObject(ctx, f, false)
}

// storeObject asks the host before each try, since the leader may have made room meanwhile, or none
// is left.
func (r *run) storeObject(ctx context.Context, f io.ReadSeeker, final bool) (o job.Object,
	err error) {
	warned := false
	err = RetryStore(ctx, func() (err error) {
		if r.host.StoreFull(final) {
			err = artifact.ErrFull
		} else {
			o, err = r.Objects.Put(ctx, f)
		}
		if final && !warned && errors.Is(err, artifact.ErrFull) {
			warned = true
			r.host.Warn("the clip waits for room to be stored", err)
		}
		return err
	})
	return o, err
}

// copyObject copies an object to a file, from an offset on, and checks its SHA-256. It retries as
// RetryStore does; after an error the file has any bytes from the offset on.
func (r *run) copyObject(ctx context.Context, f *os.File, at int64, o job.Object) error {
	return RetryStore(ctx, func() error {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return err
		}
		src, err := r.Objects.Get(ctx, o)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, src)
		return errors.Join(err, src.Close())
	})
}

// readObject reads a small object into memory. It does not retry.
func (r *run) readObject(ctx context.Context, o job.Object) ([]byte, error) {
	src, err := r.Objects.Get(ctx, o)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(src, o.Size+1))
	return data, errors.Join(err, src.Close())
}

// tempFile creates a temporary file. Where the folder has gone meanwhile, as after a disk that was
// away, it is made again: without it a rank could save nothing more until its end.
func (r *run) tempFile(pattern string) (*os.File, error) {
	file, err := os.CreateTemp(r.TempDir, pattern)
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(r.TempDir, 0o700) == nil {
		file, err = os.CreateTemp(r.TempDir, pattern)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot create a temporary file: %w", err)
	}
	return file, nil
}

// withTempFile calls f with a temporary file, which is removed afterwards.
func (r *run) withTempFile(f func(*os.File) error) error {
	file, err := r.tempFile("object-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	return f(file)
}
