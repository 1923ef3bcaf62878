package coord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

const (
	objectsRetry = 200 * time.Millisecond

	objectsTry    = time.Second // for the first try, and more for each after it
	objectsTryMax = 10 * time.Second

	lagWait   = 100 * time.Millisecond // between looks for an object that a replica may lack
	lagTries  = 20
	sweepMin  = 4               // objects deleted in one tick, and more
	sweepMax  = 32              // the more of them wait
	sweepTime = 2 * time.Second // for all of them
	leaseTime = time.Hour       // for an input to be stored, and a job to refer to it

	straysFirst = time.Minute // after a leader's start it looks for objects that nobody knows
	straysEvery = time.Hour   // and again
	straysMax   = 64          // of them at a time
)

// openObjects opens the object store, again and again until JetStream is there.
func (c *Coordinator) openObjects(ctx context.Context) {
	for limit := objectsTry; ; limit = min(limit+objectsTry, objectsTryMax) {
		s, err := c.tryObjects(ctx, limit)
		if err == nil {
			c.objects.Store(&s)
			return
		}
		if ctx.Err() == nil {
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
// answer at all.
func (c *Coordinator) tryObjects(ctx context.Context, limit time.Duration) (artifact.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	n, err := c.replicas()
	if err != nil {
		return nil, err
	}
	return artifact.Open(ctx, c.broker.conn, wire.Bucket, artifact.Options{Replicas: n,
		BytesMax: c.cfg.Limits.Disk})
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

// resize keeps as many copies of objects as there are coordinators now.
func (c *Coordinator) resize(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, objectsTryMax)
	defer cancel()
	if _, err := c.tryObjects(ctx, objectsTryMax); err != nil {
		c.log.Warn("cannot change the number of copies of objects", "error", err)
	}
}

// Open implements Service.
func (c *Coordinator) Open(ctx context.Context, o job.Object) (io.ReadSeekCloser, error) {
	r, err := find(ctx, c, o, artifact.Store.Open)
	c.harm.note(o, err)
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

// harm remembers which objects were found damaged or gone, until they are found whole.
type harm struct {
	mu  sync.Mutex
	why map[string]string // by name
}

// harmMax bounds how many objects are remembered.
const harmMax = 4096

func (h *harm) note(o job.Object, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why == nil {
		h.why = map[string]string{}
	}
	switch {
	case err == nil:
		delete(h.why, o.Name)
	case errors.Is(err, ErrDamaged) && len(h.why) < harmMax:
		h.why[o.Name] = "damaged"
	case errors.Is(err, ErrNotFound) && len(h.why) < harmMax:
		h.why[o.Name] = "gone"
	}
}

// of says what is wrong with what a job left behind, "" if nothing is known.
func (h *harm) of(r job.Record) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range []struct {
		what string
		o    job.Object
	}{{"clip", r.Result.Video}, {"file of latents", r.Result.Latents}} {
		if why := h.why[x.o.Name]; why != "" && r.State == job.Completed {
			return fmt.Sprintf("the %s is %s in the object store; a retry makes the same one again",
				x.what, why)
		}
	}
	return ""
}

// StoreInput implements Service. The lease comes first, so that an input is deleted again whatever
// happens.
func (c *Coordinator) StoreInput(ctx context.Context, r io.ReadSeeker) (job.Object, error) {
	if _, err := c.leader(); err != nil {
		return job.Object{}, err
	}
	if err := c.roomForMore(); err != nil {
		return job.Object{}, fmt.Errorf("cannot store an input: %w", err)
	}
	s := c.objects.Load()
	if s == nil {
		return job.Object{}, fmt.Errorf("%w: the object store is not open yet", ErrNotReady)
	}
	o, err := artifact.Describe(ctx, r)
	if err != nil {
		return o, fmt.Errorf("cannot read an input: %w", err)
	}
	if err := c.lease(o); err != nil {
		return o, err
	}
	if o, err = (*s).Put(ctx, r); errors.Is(err, artifact.ErrFull) {
		return o, fmt.Errorf("cannot store an input: %w: %w", ErrNoSpace, err)
	} else if err != nil {
		return o, fmt.Errorf("cannot store an input: %w", err)
	}
	return o, nil
}

// lease keeps an object from being deleted for a while.
func (c *Coordinator) lease(o job.Object) error {
	c.owners.Lock()
	defer c.owners.Unlock()
	_, err := c.commit(command{Kind: kindLease,
		Lease: &lease{Object: o, Until: c.cfg.Now().Add(leaseTime)}})
	return err
}

// strays puts objects on the trash that nobody knows: an attempt has stored them and ended before
// they were recorded. What is being stored at present has the time of a lease to be.
func (l *leader) strays() {
	s, now := l.c.objects.Load(), l.c.cfg.Clock()
	if s == nil || !l.belongs(*s) || now.Before(l.look) {
		return
	}
	l.look = now.Add(straysEvery)
	ctx, cancel := context.WithTimeout(l.ctx, sweepTime)
	defer cancel()
	done := l.c.fsm.all(func(r job.Record) bool { return r.State == job.Completed })
	names, err := (*s).List(ctx)
	if err != nil {
		l.c.log.Warn("cannot look for objects that nobody knows", "error", err)
		return
	}
	l.missing(done, names)
	strays := l.c.fsm.unknown(names)
	for _, o := range strays[:min(len(strays), straysMax)] {
		if err := l.c.lease(o); err != nil {
			l.c.log.Warn("cannot put an object that nobody knows on the trash", "object", o.Name,
				"error", err)
			return
		}
	}
}

// missing notes which results of jobs are not among the objects that there are later. A store that
// has lost some, after a crash of a machine or on a bad disk, says nothing by itself.
func (l *leader) missing(done []job.Record, names []string) {
	there := make(map[string]bool, len(names))
	for _, n := range names {
		there[n] = true
	}
	for _, r := range done {
		for _, o := range []job.Object{r.Result.Video, r.Result.Latents} {
			if o.Name != "" && !there[o.Name] {
				l.c.harm.note(o, ErrNotFound)
				l.c.log.Error("an object is gone; a retry of its job makes it again", "job", r.ID,
					"object", o.Name)
			}
		}
	}
}

// sweep deletes a few objects that no job owns any more. It shares the goroutine with placement, so
// that no job that might store such an object anew starts meanwhile.
func (l *leader) sweep() {
	l.c.owners.Lock()
	defer l.c.owners.Unlock()
	spare, gone := l.c.fsm.sweepable(l.lapsed())
	s := l.c.objects.Load()
	if len(spare)+len(gone) == 0 || s == nil || !l.belongs(*s) {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, sweepTime)
	defer cancel()
	var swept []string
	for _, o := range gone[:min(len(gone), max(sweepMin, min(len(gone)/8, sweepMax)))] {
		if err := (*s).Delete(ctx, o); err != nil {
			l.c.log.Warn("cannot delete an object", "object", o.Name, "error", err)
			continue
		}
		swept = append(swept, o.Name)
	}
	if len(spare)+len(swept) == 0 {
		return
	}
	if _, err := l.c.commit(command{Kind: kindSwept, Swept: swept, Spared: spare}); err != nil {
		l.c.log.Warn("cannot record a sweep", "error", err)
	}
}
