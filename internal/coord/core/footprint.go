package core

import (
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// footprint is what a job is expected to take in the object store.
func (c *Core) footprint(s job.Spec) job.Footprint {
	m := c.machine.model(s)
	if m.Fingerprint == "" {
		return job.Footprint{} // of a model that the cluster no longer serves
	}
	return m.Footprint(s, c.cfg.CheckpointEvery > 0)
}

// weigh returns a job that is not final with what follows from its record and its model. Each
// decision asks that of all jobs that wait, so it is found once for each record.
func (c *Core) weigh(j *liveJob) *liveJob {
	models := c.machine.Models()
	if !j.known || !sameModels(j.models, models) {
		j.known, j.models, j.weighed = true, models, false
		j.footprint = c.footprint(j.r.Spec)
		j.operations = plan.Predict(c.machine.model(j.r.Spec), j.r.Spec, nil).Operations
	}

	if !j.weighed {
		stored := j.r.Stored()
		j.weighed = true
		j.needs, j.leaves = max(0, j.footprint.Most-stored), max(0, j.footprint.Kept-stored)
	}
	return j
}

// promised is what the jobs that were taken may still store: those that run all that they need,
// those that wait what they leave behind.
func (c *Core) promised() (running, waiting int64) {
	for _, j := range c.machine.state.index.live {
		c.weigh(j)
		if j.r.State == job.Running {
			running += j.needs
		} else {
			waiting += j.leaves
		}
	}
	return running, waiting
}

// hasRoom returns ErrNoSpace, and why, if no more jobs are taken.
func (c *Core) hasRoom() error {
	if d := c.world.Disk(); d.Stage > Roomy {
		return fmt.Errorf("%w: %s", ErrNoSpace, d.Why)
	}
	return nil
}

// fits returns a *job.FieldError for a job that could never be stored here, and ErrNoSpace for one
// for which there is no room at present.
func (c *Core) fits(s job.Spec) error {
	d := c.world.Disk()
	if !d.Known {
		return nil
	}
	f := c.footprint(s)
	if f.Most > d.Most {
		return &job.FieldError{Field: "num_frames x size",
			Value: fmt.Sprintf("%d x %dx%d, which takes about %s of the object store while it is made",
				s.Frames, s.Width, s.Height, plan.Bytes(f.Most)),
			Allowed: fmt.Sprintf("up to %s, all that the store may hold; so fewer frames, a smaller "+
				"size, or a larger limits.disk or disk", plan.Bytes(d.Most))}
	}

	running, waiting := c.promised()
	if left := d.Now - d.Held - running - waiting; f.Most > left {
		return fmt.Errorf("%w: the job takes about %s of the object store while it is made, and of %s "+
			"only %s are neither used nor promised to other jobs; delete jobs, or wait", ErrNoSpace,
			plan.Bytes(f.Most), plan.Bytes(d.Now), plan.Bytes(left))
	}
	return nil
}

// RoomForPlaced is how many bytes jobs that are placed next may store.
func (c *Core) RoomForPlaced() int64 {
	d := c.world.Disk()
	if !d.Known {
		return math.MaxInt64
	}
	running, _ := c.promised()
	return d.Now - d.Held - running
}
