package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// While the coordinators have no majority the object store is away; that is no fault of the clip or
// of this machine, so a rank waits for it. What is not there is looked for again for a while, since
// a replica may lag behind.
const (
	storePatience = 2 * time.Minute
	lagPatience   = 5 * time.Second
	storePause    = 250 * time.Millisecond
)

// patiently repeats f until it succeeds, its error cannot pass by itself, or it is time to give up.
func patiently(ctx context.Context, f func() error) error {
	start := time.Now()
	for {
		err := f()
		limit := storePatience
		if errors.Is(err, artifact.ErrNotFound) {
			limit = lagPatience
		}
		if err == nil || errors.Is(err, artifact.ErrDamaged) || time.Since(start) > limit {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(storePause):
		}
	}
}

// put stores what the clip leaves behind.
func (r *run) put(ctx context.Context, f io.ReadSeeker) (o job.Object, err error) {
	err = patiently(ctx, func() (err error) {
		o, err = r.Objects.Put(ctx, f)
		return err
	})
	return o, err
}

// download copies an object to a file of its own, which the caller removes.
func (r *run) download(ctx context.Context, o job.Object) (path string, err error) {
	err = patiently(ctx, func() (err error) {
		path, err = r.copy(ctx, o)
		return err
	})
	return path, err
}

func (r *run) copy(ctx context.Context, o job.Object) (path string, err error) {
	src, err := r.Objects.Get(ctx, o)
	if err != nil {
		return "", err
	}
	defer src.Close()
	f, err := os.CreateTemp(r.TempDir, "object-*")
	if err != nil {
		return "", fmt.Errorf("cannot create a temporary file: %w", err)
	}
	_, err = io.Copy(f, src)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
