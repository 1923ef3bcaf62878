package engine

import (
	"context"
	"errors"
	"io"
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

// RetryStore repeats f, which uses the object store, until it succeeds, its error cannot pass by
// itself, or it is time to give up.
func RetryStore(ctx context.Context, f func() error) error {
	start := time.Now()
	for {
		err := f()
		limit := storePatience
		if errors.Is(err, artifact.ErrNotFound) {
			limit = lagPatience
		}
		if errors.Is(err, artifact.ErrFull) {
			start = time.Now() // that ends when somebody makes room, and the work is done by then
		}
		if err == nil || errors.Is(err, artifact.ErrDamaged) || errors.Is(err, ErrRefused) ||
			time.Since(start) > limit {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(storePause):
		}
	}
}

// put stores what the clip leaves behind: it waits for room as long as that takes.
func (r *run) put(ctx context.Context, f io.ReadSeeker) (job.Object, error) {
	return r.putWhen(ctx, f, true)
}

// putBeside stores what a later attempt could use. It waits for more room than put does.
func (r *run) putBeside(ctx context.Context, f io.ReadSeeker) (job.Object, error) {
	return r.putWhen(ctx, f, false)
}

func (r *run) putWhen(ctx context.Context, f io.ReadSeeker, last bool) (o job.Object, err error) {
	told := false
	err = RetryStore(ctx, func() (err error) {
		if r.host.StoreFull(last) {
			err = artifact.ErrFull
		} else {
			o, err = r.Objects.Put(ctx, f)
		}
		if last && !told && errors.Is(err, artifact.ErrFull) {
			told = true
			r.host.Warn("the clip waits for room to be stored", err)
		}
		return err
	})
	return o, err
}

// read reads a small object.
func (r *run) read(ctx context.Context, o job.Object) ([]byte, error) {
	src, err := r.Objects.Get(ctx, o)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(src, o.Size+1))
	return data, errors.Join(err, src.Close())
}
