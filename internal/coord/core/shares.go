package core

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sched"
)

// share tells the scheduler who has used how much, and may use how much more. waits are the jobs of
// View.Queued.
func (l *leader) share(v *sched.View, waits []*liveJob) {
	v.Ledger = l.c.machine.state.shares.Ledger

	v.Owners, v.Teams = map[string]sched.Limit{}, map[string]sched.Limit{}
	var known *dayUse // once somebody asks
	used := func() dayUse {
		if known == nil {
			known = new(l.usedToday())
		}
		return *known
	}
	var last *job.Record // many jobs in a row are of one owner
	note := func(r *job.Record) {
		if last != nil && r.Owner == last.Owner && r.Team == last.Team {
			return
		}
		last = r
		if _, ok := v.Owners[r.Owner]; !ok && r.Owner != "" {
			v.Owners[r.Owner] = l.limit(l.ownerQuota(r.Owner), "", l.ownerName(r.Owner),
				func() time.Duration { return used().owner(r.Owner) })
		}
		if _, ok := v.Teams[r.Team]; !ok && r.Team != "" {
			v.Teams[r.Team] = l.limit(l.c.teamQuota(r.Team), " of team "+r.Team, "team "+r.Team,
				func() time.Duration { return used().team(r.Team) })
		}
	}

	model, speed := "", 0.0
	for i, j := range waits {
		note(j.r)
		if name := j.r.Spec.Model; i == 0 || name != model {
			model, speed = name, l.speed(name)
		}
		v.Queued[i].Cost = costLeft(j, speed)
	}

	for i := range v.Running {
		r := &v.Running[i]
		note(r.Record)
		r.Taken = l.taken(r.Record)
	}
}

// limit is a quota as the scheduler takes it; whose and name are for reasons. What was used is
// asked for only where there is a limit of it, as that takes a look at all running jobs.
func (l *leader) limit(q access.Quota, whose, name string, used func() time.Duration) sched.Limit {
	out := sched.Limit{Name: name, Weight: q.Weight, Running: q.Running}
	if q.DeviceSeconds > 0 {
		if u := used().Seconds(); u >= q.DeviceSeconds {
			out.Spent = fmt.Sprintf("until 00:00 UTC: device-seconds%s of today are used (%.4g of %.4g)",
				whose, u, q.DeviceSeconds)
		}
	}
	return out
}

// ownerQuota is what an owner may have at present.
func (l *leader) ownerQuota(owner string) access.Quota {
	return l.c.quotaOf(owner, l.c.machine.state.shares.Quotas[owner])
}

// ownerName is how reasons name an owner.
func (l *leader) ownerName(owner string) string {
	if k, ok := l.c.machine.Key(owner); ok {
		return "key " + k.Name
	}
	return owner
}

// The time of day may jump, and with it the day. Then what was used counts for the day at which the
// attempt ended, by the clock of the leader at that time; nothing is counted twice.

// dayUse is the device time that owners and teams have used since midnight in UTC: of attempts that
// are over, and of those that run until now.
type dayUse struct {
	over                  *sharesState // nil: nothing is over today
	liveOwners, liveTeams map[string]time.Duration
}

// usedToday looks at all jobs that run, once for whoever is asked about.
func (l *leader) usedToday() dayUse {
	now := l.today()
	day, midnight := dayOf(now)
	u := dayUse{liveOwners: map[string]time.Duration{}, liveTeams: map[string]time.Duration{}}
	if sh := l.c.machine.state.shares; sh.Day == day {
		u.over = sh
	}

	for _, r := range l.c.machine.live(running) {
		live := min(l.taken(r), timesRanks(now.Sub(midnight), r))
		u.liveOwners[r.Owner] += live
		u.liveTeams[r.Team] += live
	}
	return u
}

// owner is what an owner has used.
func (u dayUse) owner(id string) time.Duration {
	used := u.liveOwners[id]
	if u.over != nil {
		used += time.Duration(u.over.Owners[id]) * time.Microsecond
	}
	return used
}

// team is what a team has used.
func (u dayUse) team(name string) time.Duration {
	used := u.liveTeams[name]
	if u.over != nil {
		used += time.Duration(u.over.Teams[name]) * time.Microsecond
	}
	return used
}

// beginning is when an attempt was placed, by a leader's clock: the one that placed it, or one that
// came later and goes by the times of day of both until its term began.
type beginning struct {
	attempt job.Attempt
	at      time.Time
}

// taken is the device time of a running attempt so far. The time of day may have jumped since it
// was placed, so it is not asked.
func (l *leader) taken(r *job.Record) time.Duration {
	if b := l.began[r.ID]; b.attempt == r.Attempt {
		return timesRanks(l.c.cfg.Clock().Sub(b.at), r)
	}
	return 0
}

// tookOf is the time of each rank of the attempt that a command ends; 0: it ends none. It is in the
// command since another coordinator's clock, or the same one after a jump, says something else.
func (l *leader) tookOf(cmd command) time.Duration {
	switch cmd.Kind {
	case kindComplete, kindFail, kindLose, kindCancelled:
		if b := l.began[cmd.Job]; b.attempt == cmd.Attempt && !b.at.IsZero() {
			return max(0, l.c.cfg.Clock().Sub(b.at))
		}
	}
	return 0
}

// costLeft is the device time that a weighed job is predicted to take from its checkpoint on, on
// nodes of that speed.
func costLeft(j *liveJob, speed float64) time.Duration {
	if j.operations == 0 || speed == 0 {
		return sched.CostUnknown
	}
	left := 1 - float64(j.r.Checkpoint.Step)/float64(max(j.r.Spec.TotalSteps(), 1))
	return time.Duration(min(j.operations*left/speed, 1e9) * float64(time.Second))
}

// aheadOf is how many jobs go before a queued one: as the scheduler has seen it, or, on a follower
// and before it has, those that are older.
func (c *Core) aheadOf(id job.ID) int {
	if c.lead != nil {
		if w := c.lead.waiting[id]; w != nil && w.counted {
			return w.ahead
		}
	}
	return c.machine.ahead(id)
}

// Charged returns a job that counts with what it was predicted to take, as it has begun and has not
// ended; false if there is none.
func (m *Machine) Charged() (job.ID, bool) {
	ids := slices.Sorted(maps.Keys(m.state.shares.Ledger.Charges))
	if len(ids) == 0 {
		return "", false
	}
	return ids[0], true
}
