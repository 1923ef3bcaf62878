package coord

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

// The time of day may be set forward and back, and differs between coordinators. What is written
// down has it, for people; decisions go by what has passed on the leader's own clock since it first
// saw a thing. So nothing ends early that another leader, or this one before, stamped otherwise.

// sighting is when a leader first saw something that ends.
type sighting struct {
	until time.Time // as it is written down
	end   time.Time // by the leader's clock
	seen  time.Time // likewise
}

// today is the time of day by the leader's clock: that of its term's start, and what has passed.
func (l *leader) today() time.Time { return l.dated.Add(l.c.cfg.Clock().Sub(l.since)) }

// sight notes something that ends at a time of day, at the earliest after least and at the latest
// after most; the caller holds the lock.
func (l *leader) sight(what string, until time.Time, least, most time.Duration) sighting {
	s, ok := l.sights[what]
	if now := l.c.cfg.Clock(); !ok || !s.until.Equal(until) {
		left := min(max(until.Sub(l.c.cfg.Now()), least), most)
		s = sighting{until: until, end: now.Add(left), seen: now}
		l.sights[what] = s
	}
	return s
}

// drainOver reports whether the time of a drained node is over: all of it has passed since this
// leader knows of it. The caller holds the lock.
func (l *leader) drainOver(d Drain) bool {
	within := max(0, d.Deadline.Sub(d.Since))
	return l.c.cfg.Clock().After(l.sight("drain "+string(d.Node), d.Deadline, within, within).end)
}

// drainFor is how long this leader has known of a drain; the caller does not hold the lock.
func (l *leader) drainFor(d Drain) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	within := max(0, d.Deadline.Sub(d.Since))
	s := l.sight("drain "+string(d.Node), d.Deadline, within, within)
	return l.c.cfg.Clock().Sub(s.seen)
}

// lapsed names the objects that have waited long enough for a job to refer to them. A leader that
// comes to one whose time is over by the time of day gives it some more.
func (l *leader) lapsed() map[string]bool {
	out := map[string]bool{}
	leases := l.c.fsm.leases()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range leases {
		s := l.sight("lease "+t.Object.Name, t.Until, l.c.cfg.leaseLeast, leaseTime)
		out[t.Object.Name] = l.c.cfg.Clock().After(s.end)
	}
	return out
}

// sinceLoss is how long ago a job's latest attempt was lost, at the least since this term began.
func (l *leader) sinceLoss(r job.Record) time.Duration {
	n := len(r.Losses)
	if n == 0 {
		return time.Duration(1<<63 - 1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now, loss := l.c.cfg.Clock(), r.Losses[n-1]
	if at, ok := l.lost[r.ID]; ok && at.attempt == loss.Attempt {
		return now.Sub(at.at)
	}
	return now.Sub(l.since)
}

// loss is when the leader gave an attempt up.
type loss struct {
	attempt job.Attempt
	at      time.Time
}

// forgetSights drops what has ended long ago; the caller holds the lock.
func (l *leader) forgetSights() {
	now := l.c.cfg.Clock()
	for what, s := range l.sights {
		if now.Sub(s.end) > 2*leaseTime {
			delete(l.sights, what)
		}
	}
}
