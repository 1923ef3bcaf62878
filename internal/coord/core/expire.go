package core

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

const (
	expireEvery = time.Second
	expireMax   = 16 // jobs at a time, so that a tick is not long
)

// expires is when a final job is deleted because of its age, zero if it is not.
func (c *Core) expires(r job.Record) time.Time {
	if !r.State.Final() || c.cfg.Limits.KeepFor == 0 {
		return time.Time{}
	}
	return r.Finished.Add(c.cfg.Limits.KeepFor)
}

// expire deletes final jobs that are too old, or whose objects are too large together: the oldest
// go first.
func (l *leader) expire() {
	lim, now := l.c.cfg.Limits, l.c.cfg.Clock()
	if lim.KeepFor == 0 && lim.KeepBytes == 0 || now.Before(l.expired.Add(expireEvery)) {
		return
	}
	l.expired = now

	final := l.c.machine.Records(func(r *job.Record) bool { return r.State.Final() })
	for _, id := range l.surplus(final, l.today()) {
		if _, err := l.c.commit(command{Kind: kindDelete, Job: id}); err != nil {
			l.c.log.Warn("cannot delete a job that is over its limits", "job", id, "error", err)
			return
		}
		l.c.log.Info("job deleted", "job", id, "limits.keep-for", lim.KeepFor, "limits.keep-bytes",
			lim.KeepBytes)
	}
}

// surplus chooses the final jobs to delete, given in the order of their creation. What several jobs
// share, such as the clips of a retry, counts once, and is gone with the last of them.
func (l *leader) surplus(final []job.Record, now time.Time) (out []job.ID) {
	sum, users := int64(0), map[job.Object]int{}
	for i := range final {
		for _, o := range objects(&final[i]) {
			if users[o]++; users[o] == 1 {
				sum += o.Size
			}
		}
	}

	most := l.c.cfg.Limits.KeepBytes
	for _, r := range final {
		at := l.c.expires(r)
		if old := !at.IsZero() && now.After(at); !old && (most == 0 || sum <= most) {
			continue
		}
		if out = append(out, r.ID); len(out) == expireMax {
			break
		}
		for _, o := range objects(&r) {
			if users[o]--; users[o] == 0 {
				sum -= o.Size
			}
		}
	}
	return out
}
