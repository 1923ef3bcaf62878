package core

import (
	"math"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// The time of day may be set forward and back, and differs between coordinators. What is written
// down has it, for people; decisions go by what has passed on the leader's own clock since it first
// saw a thing. So nothing ends early that another leader, or this one before, stamped otherwise.

// sighting is when a leader first saw something that ends at a time of day.
type sighting struct {
	until time.Time // as it is written down
	end   time.Time // by the leader's clock
	seen  time.Time // likewise
}

// today is the time of day by the leader's clock: that of its term's start, and what has passed.
func (l *leader) today() time.Time { return l.dated.Add(l.c.cfg.Clock().Sub(l.since)) }

// sight notes something that ends at a time of day. By the leader's clock it ends after least at
// the earliest and after most at the latest.
func (l *leader) sight(what string, until time.Time, least, most time.Duration) sighting {
	s, ok := l.sights[what]
	if now := l.c.cfg.Clock(); !ok || !s.until.Equal(until) {
		left := min(max(until.Sub(l.c.cfg.Now()), least), most)
		s = sighting{until: until, end: now.Add(left), seen: now}
		l.sights[what] = s
	}
	return s
}

// sightDrain notes a drain, whose whole time runs from when this leader first sees it.
func (l *leader) sightDrain(d Drain) sighting {
	within := max(0, d.Deadline.Sub(d.Since))
	return l.sight("drain "+string(d.Node), d.Deadline, within, within)
}

// drainOver reports whether the time of a drained node is over.
func (l *leader) drainOver(d Drain) bool { return l.c.cfg.Clock().After(l.sightDrain(d).end) }

// drainKnownFor is how long this leader has known of a drain.
func (l *leader) drainKnownFor(d Drain) time.Duration {
	return l.c.cfg.Clock().Sub(l.sightDrain(d).seen)
}

// lapsed names the objects that have waited long enough for a job to refer to them. A new leader
// gives one whose time is over by the time of day some more.
func (l *leader) lapsed() map[string]bool {
	out := map[string]bool{}
	for _, t := range l.c.machine.leases() {
		s := l.sight("lease "+t.Object.Name, t.Until, l.c.cfg.LeaseLeast, leaseTime)
		out[t.Object.Name] = l.c.cfg.Clock().After(s.end)
	}
	return out
}

// loss is when the leader gave an attempt up.
type loss struct {
	attempt job.Attempt
	at      time.Time
}

// sinceLoss is how long ago a job's latest attempt was lost. A loss of an earlier term counts as if
// it had been at the start of this one; without any it was long ago.
func (l *leader) sinceLoss(r *job.Record) time.Duration {
	n := len(r.Losses)
	if n == 0 {
		return math.MaxInt64
	}
	now := l.c.cfg.Clock()
	if own, ok := l.lost[r.ID]; ok && own.attempt == r.Losses[n-1].Attempt {
		return now.Sub(own.at)
	}
	return now.Sub(l.since)
}

// forgetSights drops what has ended long ago.
func (l *leader) forgetSights() {
	now := l.c.cfg.Clock()
	for what, s := range l.sights {
		if now.Sub(s.end) > 2*leaseTime {
			delete(l.sights, what)
		}
	}
}
