package sim

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Clip is what became of a request that was taken. Times are since the start; Started is of the
// first attempt, and zero if there was none.
type Clip struct {
	Class                      int
	Created, Started, Finished time.Duration
	State                      job.State
	Attempts, Ranks            int // Ranks are those of the last attempt
	// Busy is the device time of all its ranks. Of it Useful went into prompts, steps, frames and
	// files that are part of what was delivered, and Setup into the start of the first attempt. The
	// rest was lost: steps that were made again, later starts, waiting for ranks that were gone.
	Busy, Useful, Setup time.Duration
}

// clip is a Clip in the making.
type clip struct {
	Clip
	d       *day
	works   []*work // rank 0 of each attempt
	counted int     // the step up to which useful time is known
	worth   []stretch
}

// stretch is a time in which so many ranks did what was useful, if the clip is delivered.
type stretch struct {
	from, to time.Time
	ranks    int
}

// useful takes a stretch into the account.
func (c *clip) useful(ranks int, from, to time.Time) {
	c.Useful += time.Duration(ranks) * to.Sub(from)
	c.worth = append(c.worth, stretch{from, to, ranks})
}

// diary is when a rank came how far. The first rank of an attempt keeps it for all, as they do
// steps together.
type diary struct {
	denoising, decoding, encoding time.Time
	first                         int // the step from which it began
	steps                         []time.Time
}

// denoises notes the start of the first step, and what it took to get there. The first attempt of
// a job has to start in any case; what later ones take for it was lost with the one before.
func (k *work) denoises() {
	if k.n.w.day == nil {
		return
	}
	k.denoising, k.first = k.n.w.now, k.step

	c := k.n.w.day.clips[k.plan.Job]
	if k.rank == 0 && k.plan.Attempt == 1 {
		text := k.n.w.pace.text(k)
		c.useful(len(k.plan.Nodes), k.n.w.now.Add(-text), k.n.w.now)
		c.Setup = time.Duration(len(k.plan.Nodes)) * (k.n.w.now.Sub(k.began) - text)
	}
}

// stepDone notes the end of a step.
func (k *work) stepDone() {
	if k.n.w.day != nil {
		k.steps = append(k.steps, k.n.w.now)
	}
}

func (k *work) decodes() { k.decoding = k.n.w.now }

func (k *work) encodes() { k.encoding = k.n.w.now }

// placed begins another attempt. Steps up to the one where it begins were worth their time: their
// checkpoint is what it goes on from.
func (c *clip) placed(r job.Record, now time.Duration) {
	if c.Attempts == 0 {
		c.Started = now
	}
	c.Attempts, c.Ranks = int(r.Attempt), len(r.Plan.Nodes)
	c.count(r.Plan.Resume.Step)
}

// count takes the time of the steps up to one into account, all of which have been made by the
// latest attempt that began before the first of them. Which steps count is not known before the
// next attempt begins: one that is lost may have come further than its latest checkpoint.
func (c *clip) count(upTo int) {
	if upTo <= c.counted {
		return
	}
	for i := len(c.works) - 1; i >= 0; i-- {
		k := c.works[i]
		if k.first > c.counted || k.first+len(k.steps) < upTo {
			continue
		}

		from := k.denoising
		if c.counted > k.first {
			from = k.steps[c.counted-k.first-1]
		}
		c.useful(len(k.plan.Nodes), from, k.steps[upTo-k.first-1])
		break
	}
	c.counted = upTo
}

// ended closes the account. Nothing was useful of a job that was not completed. Its ranks may go on
// for a moment, until they have heard of it; that is busy, and not useful.
func (c *clip) ended(r job.Record, now time.Duration) {
	c.State, c.Finished = r.State, now
	if r.State != job.Completed {
		c.Useful, c.works, c.worth = 0, nil, nil
		return
	}

	// Frames are decoded by several ranks, and encoded by the first one.
	c.count(r.Spec.TotalSteps())
	k := c.works[len(c.works)-1]
	c.useful(k.n.w.pace.decoders(k), k.decoding, k.encoding)
	c.useful(1, k.encoding, k.n.w.now)

	// Only now is known that all of it was of use, so the series gets it afterwards.
	for _, s := range c.worth {
		c.d.useful.between(s.from.Sub(c.d.w.start), s.to.Sub(c.d.w.start), s.ranks)
	}
	c.works, c.worth = nil, nil
}
