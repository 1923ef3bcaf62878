package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

const (
	objectsRetry = 200 * time.Millisecond // between two tries to open the store

	objectsTry    = time.Second      // for the first try, and as much more for each after it
	objectsTryMax = 10 * time.Second // for any try

	lagWait  = 100 * time.Millisecond // between looks for an object that a replica may lack
	lagTries = 20
)

// openObjects opens the object store, again and again until JetStream is there. Among several
// coordinators that takes a majority, and JetStream's own election.
func (c *Coordinator) openObjects(ctx context.Context) {
	// A coordinator may wait for hours to be added as a member: each reason is said once.
	said := ""
	for limit := objectsTry; ; limit = min(limit+objectsTry, objectsTryMax) {
		s, err := c.tryObjects(ctx, limit)
		if err == nil {
			c.objects.Store(&s)
			return
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			c.log.Info("the object store is not there yet", "error", err)
		}

		select {
		case <-ctx.Done():
			return
		case <-time.After(objectsRetry):
		}
	}
}

// tryObjects opens the object store within a limit: without a leader of its own, JetStream does not
// answer at all. It opens the cache for the nodes, too; they can do without.
func (c *Coordinator) tryObjects(ctx context.Context, limit time.Duration) (artifact.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	n, err := c.replicas()
	if err != nil {
		return nil, err
	}

	c.broker.creating.RLock()
	defer c.broker.creating.RUnlock()

	// Nodes of an open cluster write into the bucket themselves, and mend by overwriting.
	o := artifact.Options{Replicas: n, BytesMax: c.cfg.Limits.Disk}
	if c.desk != nil {
		o.Once, o.BytesMax = true, cmp.Or(o.BytesMax, c.space.most())
	}
	s, err := artifact.Open(ctx, c.broker.conn, wire.Bucket, o)
	if err != nil {
		return nil, err
	}

	cache, err := artifact.OpenCache(ctx, c.broker.conn, wire.Cache, o)
	if err != nil {
		c.log.Warn("texts that were encoded are not kept", "error", err)
	}
	if c.desk != nil {
		c.desk.Use(s, cache)
	}
	return s, nil
}

// replicas is how many copies are kept of an object: one with each coordinator that votes, up to
// five.
func (c *Coordinator) replicas() (int, error) {
	servers, err := c.cons.servers()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			n++
		}
	}
	if n == 0 {
		return 0, errors.New("this coordinator is not a member yet; see longtake cluster members add")
	}
	return min(n, replicasMax), nil
}

// resize has JetStream keep as many copies of objects as there are coordinators now. It runs after
// a member was added or removed; without it, objects are still served from the copies that there
// are.
func (c *Coordinator) resize(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, objectsTryMax)
	defer cancel()
	if _, err := c.tryObjects(ctx, objectsTryMax); err != nil {
		c.log.Warn("cannot change the number of copies of objects", "error", err)
	}
}

// Open implements Service. What it finds damaged or gone is remembered for the views of jobs.
func (c *Coordinator) Open(ctx context.Context, o job.Object) (io.ReadSeekCloser, error) {
	r, err := find(ctx, c, o, artifact.Store.Open)
	c.loop.read(func() { c.core.NoteObject(o, err) })
	return r, err
}

// find opens an object. With replicas, reads may be answered by one that lags behind, so there it
// looks again for a while before it believes that an object is gone.
func find[R io.Closer](ctx context.Context, c *Coordinator, o job.Object,
	open func(artifact.Store, context.Context, job.Object) (R, error)) (r R, err error) {
	s := c.objects.Load()
	if s == nil {
		return r, fmt.Errorf("%w: the object store is not open yet", ErrNotReady)
	}

	r, err = open(*s, ctx, o)
	for range lagTries {
		if !errors.Is(err, fs.ErrNotExist) || c.cfg.alone() {
			break
		}
		select {
		case <-ctx.Done():
			return r, fmt.Errorf("cannot open object %.64s: %w", o.Name, ctx.Err())
		case <-time.After(lagWait):
		}
		r, err = open(*s, ctx, o)
	}

	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, fmt.Errorf("object %.64s: %w", o.Name, ErrNotFound)
	case errors.Is(err, artifact.ErrDamaged):
		return r, fmt.Errorf("object %.64s: %w", o.Name, ErrDamaged)
	case err != nil:
		return r, fmt.Errorf("cannot open object %.64s: %w", o.Name, err)
	}
	return r, nil
}

// StoreInput implements Service. The lease comes first, so that an input is deleted again whatever
// happens.
func (c *Coordinator) StoreInput(ctx context.Context, r io.ReadSeeker) (job.Object, error) {
	if err := c.leading(); err != nil {
		return job.Object{}, err
	}
	if err := c.roomForMore(); err != nil {
		return job.Object{}, fmt.Errorf("cannot store an input: %w", err)
	}
	s := c.objects.Load()
	if s == nil {
		return job.Object{}, fmt.Errorf("%w: the object store is not open yet", ErrNotReady)
	}

	// The name is the hash of all bytes, so they are read twice: first for the lease.
	o, err := artifact.Describe(ctx, r)
	if err != nil {
		return o, fmt.Errorf("cannot read an input: %w", err)
	}
	_, err = do(ctx, c, func(reply func(nothing, error)) {
		c.core.LeaseInput(o, func(err error) { reply(nothing{}, err) })
	})
	if err != nil {
		return o, err
	}
	if o, err = (*s).Put(ctx, r); errors.Is(err, artifact.ErrFull) {
		return o, fmt.Errorf("cannot store an input: %w: %w", ErrNoSpace, err)
	} else if err != nil {
		return o, fmt.Errorf("cannot store an input: %w", err)
	}
	return o, nil
}
