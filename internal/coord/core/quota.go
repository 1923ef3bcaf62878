package core

import (
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
)

// QuotaError refuses a job that is more than its owner, or the team, may have.
type QuotaError struct {
	// Field is the bound of the quota, such as "queued"; Value is what there is, or was asked for, and
	// Allowed what may be, with whose quota it is.
	Field, Value, Allowed string
	// Passes reports whether the same request may be taken later. After is when to ask again.
	Passes bool
	After  time.Duration
}

// Error implements error.
func (e *QuotaError) Error() string {
	return fmt.Sprintf("%s is %s; allowed: %s", e.Field, e.Value, e.Allowed)
}

// After how long it is worth asking again: a place in the queue may be free at any time, and bytes
// once somebody has deleted clips.
const (
	askQueuedAfter = 5 * time.Second
	askBytesAfter  = time.Minute
)

// bound is a quota, and the jobs for which it holds together.
type bound struct {
	*access.Quota
	whose string
	is    func(*job.Record) bool
}

// bounds are the quotas under which a job is created: the owner's first, since people can do most
// about their own.
func (cr *creation) bounds() (out []bound) {
	if cr.Quota != nil {
		out = append(out, bound{cr.Quota, "your quota",
			func(r *job.Record) bool { return r.Owner == cr.Owner }})
	}
	if cr.TeamQuota != nil && cr.Team != "" {
		out = append(out, bound{cr.TeamQuota, "the quota of team " + cr.Team,
			func(r *job.Record) bool { return r.Team == cr.Team }})
	}
	return out
}

// fits refuses a clip that is larger, longer or more urgent than a quota ever allows.
func (b bound) fits(s job.Spec) error {
	switch seconds := s.FPS.Seconds(s.Frames); {
	case b.Pixels > 0 && s.Width*s.Height > b.Pixels:
		return &QuotaError{Field: "size", Value: fmt.Sprintf("%dx%d", s.Width, s.Height),
			Allowed: fmt.Sprintf("up to %d pixels (%s)", b.Pixels, b.whose)}
	case b.Seconds > 0 && seconds > b.Seconds:
		return &QuotaError{Field: "seconds", Value: fmt.Sprintf("%.4g", seconds),
			Allowed: fmt.Sprintf("up to %.4g (%s)", b.Seconds, b.whose)}
	case b.Priority != nil && s.Priority > *b.Priority:
		return &QuotaError{Field: "priority", Value: fmt.Sprint(s.Priority),
			Allowed: fmt.Sprintf("up to %d (%s)", *b.Priority, b.whose)}
	}
	return nil
}

// admits refuses a job while as many wait, or as many bytes are stored, as a quota allows. It is
// asked when the command is applied, so that no two requests take the same place.
func (s *state) admits(cr *creation) error {
	for _, b := range cr.bounds() {
		if b.Queued == 0 && b.Bytes == 0 {
			continue
		}

		// A job is counted once it is in the queue: what is stored later counts for the next one.
		have := s.holdingOf(b.is)
		switch {
		case b.Queued > 0 && have.queued >= b.Queued:
			return &QuotaError{Field: "queued", Value: fmt.Sprint(have.queued), Passes: true,
				Allowed: fmt.Sprintf("up to %d jobs that wait (%s); wait until one begins, or cancel one",
					b.Queued, b.whose), After: askQueuedAfter}
		case b.Bytes > 0 && have.bytes >= b.Bytes:
			return &QuotaError{Field: "bytes", Value: plan.Bytes(have.bytes), Passes: true,
				Allowed: fmt.Sprintf("less than %s of stored clips and inputs (%s); delete some",
					plan.Bytes(b.Bytes), b.whose), After: askBytesAfter}
		}
	}
	return nil
}

// holding is what some jobs take together.
type holding struct {
	queued, running int
	bytes           int64 // of stored objects, each once
}

// holdingOf counts what some jobs take. It looks at every job and every object of those that count,
// so it is for requests of owners with such a quota, and for people.
func (s *state) holdingOf(is func(*job.Record) bool) (h holding) {
	seen := map[string]bool{}
	for _, r := range s.jobs {
		if !is(r) {
			continue
		}
		switch r.State {
		case job.Queued:
			h.queued++
		case job.Running:
			h.running++
		}

		stored := append(objects(r), r.Checkpoint.Object, r.Before.Object)
		for _, o := range r.Parts {
			stored = append(stored, o)
		}

		for _, o := range stored {
			if !seen[o.Name] {
				seen[o.Name] = true
				h.bytes += o.Size
			}
		}
	}
	return h
}

// under gives a creation the quotas of who asks, and refuses what they never allow. The command has
// them with it: the machine judges by what the leader knew, as with all limits of a creation.
func (c *Core) under(cr *creation, q access.Quota) error {
	if own := c.quotaOf(cr.Owner, q); own != (access.Quota{}) {
		cr.Quota = &own
	}
	if team := c.teamQuota(cr.Team); team != (access.Quota{}) {
		cr.TeamQuota = &team
	}
	for _, b := range cr.bounds() {
		if err := b.fits(cr.Spec); err != nil {
			return err
		}
	}
	return nil
}

// quotaOf is the quota of an owner: that of its key, or the one that the request came with.
func (c *Core) quotaOf(owner string, asked access.Quota) access.Quota {
	if k, ok := c.machine.Key(owner); ok {
		return k.Quota
	}
	return asked
}

// teamQuota is what a team may have together.
func (c *Core) teamQuota(team string) access.Quota {
	t, _ := c.machine.Team(team)
	return t.Quota
}

// QuotaOf returns what an owner and its team may have, and what they have of it. asked is the
// quota of the owner unless it has a key here. ErrNotLeader.
func (c *Core) QuotaOf(owner, team string, asked access.Quota) (schema.Quota, error) {
	l, err := c.leader()
	if err != nil {
		return schema.Quota{}, err
	}

	_, midnight := dayOf(l.today())
	out := schema.Quota{Object: "quota", Owner: owner, Team: team, Limits: c.quotaOf(owner, asked),
		Resets: midnight.Add(24 * time.Hour).Unix()}

	used := l.usedToday()
	out.Used = c.used(used.owner(owner), func(r *job.Record) bool { return r.Owner == owner })
	if team != "" {
		out.TeamLimits = new(c.teamQuota(team))
		out.TeamUsed = new(c.used(used.team(team),
			func(r *job.Record) bool { return r.Team == team }))
	}
	return out, nil
}

// used is what some jobs have of their quota.
func (c *Core) used(today time.Duration, is func(*job.Record) bool) schema.Used {
	h := c.machine.state.holdingOf(is)
	return schema.Used{Queued: h.queued, Running: h.running, Bytes: h.bytes,
		DeviceSeconds: today.Seconds()}
}
