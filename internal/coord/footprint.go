package coord

import (
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/job"
)

// capacity is what the object store may ever hold here, what it may hold at present and what it
// holds, in bytes; ok is false while that is not known.
func (s *space) capacity() (ever, now, held int64, ok bool) {
	if s == nil {
		return 0, 0, 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held = s.own.Objects
	ever, now = s.own.Total-s.reserve, held+s.own.Free-s.reserve
	if q := s.own.Quota; q > 0 {
		ever, now = min(ever, q), min(now, q)
	}
	return ever, now, held, true
}

// footprint is what a job is expected to take.
func (c *Coordinator) footprint(s job.Spec) job.Footprint {
	return c.fsm.model().Footprint(s, c.cfg.CheckpointEvery > 0)
}

// promised is what the jobs that were taken may still store: those that run all that they need,
// those that wait what they leave behind.
func (c *Coordinator) promised() (running, waiting int64) {
	for _, r := range c.fsm.all(func(r job.Record) bool { return !r.State.Final() }) {
		f := c.footprint(r.Spec)
		if r.State == job.Running {
			running += max(0, f.Most-r.Stored())
		} else {
			waiting += max(0, f.Kept-r.Stored())
		}
	}
	return running, waiting
}

// fits returns a *job.FieldError for a job that could never be stored here, and ErrNoSpace for one
// for which there is no room at present.
func (c *Coordinator) fits(s job.Spec) error {
	ever, now, held, ok := c.space.capacity()
	if !ok {
		return nil
	}
	f := c.footprint(s)
	if f.Most > ever {
		return &job.FieldError{Field: "num_frames x size",
			Value: fmt.Sprintf("%d x %dx%d, which takes about %s of the object store while it is made",
				s.Frames, s.Width, s.Height, size(f.Most)),
			Allowed: fmt.Sprintf("up to %s, all that the store may hold; so fewer frames, a smaller "+
				"size, or a larger limits.disk or disk", size(ever))}
	}
	running, waiting := c.promised()
	if left := now - held - running - waiting; f.Most > left {
		return fmt.Errorf("%w: the job takes about %s of the object store while it is made, and of %s "+
			"only %s are neither used nor promised to other jobs; delete jobs, or wait", ErrNoSpace,
			size(f.Most), size(now), size(left))
	}
	return nil
}

// left is how much jobs that are placed may still store.
func (c *Coordinator) left() int64 {
	_, now, held, ok := c.space.capacity()
	if !ok {
		return math.MaxInt64
	}
	running, _ := c.promised()
	return now - held - running
}

// needs is what a job that is placed may still store.
func (c *Coordinator) needs(r job.Record) int64 {
	return max(0, c.footprint(r.Spec).Most-r.Stored())
}
