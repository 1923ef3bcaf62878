package sched

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Ledger remembers how far each owner and each team is ahead of the others in its use of the
// devices. It is the state of start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, "Start-time
// Fair Queueing", SIGCOMM 1996, after the fair queueing of A. Demers, S. Keshav and S. Shenker,
// SIGCOMM 1989): a job starts at the virtual time at which the job before it of the same owner
// ended, but not before the virtual time at which the latest job of anybody started.
//
// Virtual times here are relative to that latest start, which is therefore always 0: an entry says
// how many microseconds of device time per unit of weight its next job comes later than the job of
// somebody who has had nothing. Priorities have times of their own.
//
// Calls must be the same on all coordinators, in the same order; equal calls lead to equal ledgers.
type Ledger struct {
	Levels map[int]Level `json:"levels,omitempty"` // by priority
	// Charges are of jobs that have begun and are not final yet.
	Charges map[job.ID]Charge `json:"charges,omitempty"`
}

// Level holds the teams of one priority, by group.
type Level map[string]*Team

// Team is a group of owners that share among themselves what the group gets.
type Team struct {
	Account
	// Owners are ahead of the latest start within the team.
	Owners map[string]*Account `json:"owners,omitempty"`
}

// Account is how far an owner or a team is ahead, and how many charges are on it.
type Account struct {
	Ahead int64 `json:"ahead,omitempty"`
	Jobs  int   `json:"jobs,omitempty"`
}

// Charge is what a job is counted with: from its first placement on what it was predicted to take,
// at its end what it took.
type Charge struct {
	Payer
	Priority int   `json:"priority,omitempty"`
	Cost     int64 `json:"cost"`           // charged so far, in microseconds of device time
	Took     int64 `json:"took,omitempty"` // by attempts that are over
}

// Payer is whom a job is charged to.
type Payer struct {
	Owner string `json:"owner,omitempty"`
	Team  string `json:"team,omitempty"` // "": the owner is a group of its own
	// Weights are in thousandths, 1 to weightMost.
	Weight     int64 `json:"weight"`
	TeamWeight int64 `json:"team_weight,omitempty"`
}

// Limits that keep sums far from overflow, and the ledger small.
const (
	chargeMost  = int64(1e15) // microseconds of a job: a thousand devices for twelve days
	aheadMost   = int64(1) << 60
	weightUnit  = 1000
	weightMost  = 1e9
	entriesKept = 4096 // groups of a level, and owners of a team, that have no jobs
)

// NewLedger returns one on which nobody has used anything.
func NewLedger() *Ledger {
	return &Ledger{Levels: map[int]Level{}, Charges: map[job.ID]Charge{}}
}

// NewPayer returns who pays for a job. A weight of 0 is 1.
func NewPayer(owner, team string, weight, teamWeight float64) Payer {
	p := Payer{Owner: owner, Team: team, Weight: thousandths(weight)}
	if team != "" {
		p.TeamWeight = thousandths(teamWeight)
	}
	return p
}

func thousandths(w float64) int64 {
	if !(w > 0) {
		return weightUnit
	}
	return int64(min(max(w*weightUnit, 1), weightMost))
}

// bounded returns p with weights that a ledger can be kept with, whatever they were.
func (p Payer) bounded() Payer {
	p.Weight = min(max(p.Weight, 1), weightMost)
	if p.TeamWeight = min(max(p.TeamWeight, 1), weightMost); p.Team == "" {
		p.TeamWeight = 0
	}
	return p
}

// group names the team, or the owner who has none; the two cannot be mixed up. Owners without a
// team are not one team together: each would get the less the more of them there are.
func (p Payer) group() string {
	if p.Team == "" {
		return "owner " + p.Owner
	}
	return "team " + p.Team
}

// weight is that of the group among the others.
func (p Payer) weight() int64 {
	if p.Team == "" {
		return p.Weight
	}
	return p.TeamWeight
}

// Place charges a job with what it is predicted to take from now on, and sets the virtual time to
// its start. A job that has begun before had its turn then: only the sum changes.
func (l *Ledger) Place(id job.ID, p Payer, priority int, cost time.Duration) {
	p = p.bounded()
	c, begun := l.Charges[id]
	next := clampCharge(cost.Microseconds())

	if begun {
		next = clampCharge(c.Took + next)
		l.charge(c, next-c.Cost)
		c.Cost = next
		l.Charges[id] = c
		return
	}

	t := l.open(priority, p)
	advance(l.Levels[priority], &t.Account)
	advance(t.Owners, t.Owners[p.Owner])
	t.Jobs++
	t.Owners[p.Owner].Jobs++

	c = Charge{Payer: p, Priority: priority, Cost: next}
	l.Charges[id] = c
	l.charge(c, next)
}

// open returns a payer's group, with an account of the owner in it.
func (l *Ledger) open(priority int, p Payer) *Team {
	if l.Levels[priority] == nil {
		l.Levels[priority] = Level{}
	}
	t := l.Levels[priority][p.group()]
	if t == nil {
		t = &Team{Owners: map[string]*Account{}}
		l.Levels[priority][p.group()] = t
	}
	if t.Owners[p.Owner] == nil {
		t.Owners[p.Owner] = &Account{}
	}
	return t
}

// advance moves the virtual time to the start of an account's next job, where that is later. All
// accounts are relative to it.
func advance[A interface{ account() *Account }](all map[string]A, a *Account) {
	if at := a.Ahead; at > 0 {
		for _, other := range all {
			o := other.account()
			o.Ahead = max(o.Ahead-at, -aheadMost)
		}
	}
	a.Ahead = max(a.Ahead, 0)
}

func (a *Account) account() *Account { return a }

// charge adds device time to a job's owner and team, or takes it off where less was needed.
// An account may so come to be behind the latest start. Its next job starts there all the same.
func (l *Ledger) charge(c Charge, more int64) {
	t := l.Levels[c.Priority][c.group()]
	if t == nil || t.Owners[c.Owner] == nil {
		return
	}
	for _, a := range []struct {
		*Account
		weight int64
	}{{&t.Account, c.weight()}, {t.Owners[c.Owner], c.Weight}} {
		a.Ahead = min(max(a.Ahead+perWeight(more, a.weight), -aheadMost), aheadMost)
	}
}

// perWeight divides device time by a weight in thousandths. Weights of 0 are not in use. The
// largest charge times weightUnit has 60 bits.
func perWeight(microseconds, weight int64) int64 {
	return microseconds * weightUnit / max(weight, 1)
}

func clampCharge(us int64) int64 { return min(max(us, 0), chargeMost) }

// Spend notes what an attempt took that is over, of a job that is not. The job stays charged with
// what it was predicted to take, as it still has the most of that before it, and is placed again.
func (l *Ledger) Spend(id job.ID, took time.Duration) {
	if c, ok := l.Charges[id]; ok {
		c.Took = clampCharge(c.Took + clampCharge(took.Microseconds()))
		l.Charges[id] = c
	}
}

// End corrects the charge of a job that is final to what all its attempts took, the last one among
// them.
func (l *Ledger) End(id job.ID, took time.Duration) {
	l.Spend(id, took)
	c, ok := l.Charges[id]
	if !ok {
		return
	}
	l.charge(c, c.Took-c.Cost)
	delete(l.Charges, id)
	if t := l.Levels[c.Priority][c.group()]; t != nil && t.Owners[c.Owner] != nil {
		t.Jobs--
		t.Owners[c.Owner].Jobs--
	}
}

// Tidy forgets what nobody is waiting to see honoured. live calls its argument for every job that
// is not final. A priority without jobs begins anew, and so does a team within; who has none keeps
// what it is ahead, as otherwise it would do well to leave and come back.
func (l *Ledger) Tidy(live func(yield func(priority int, owner, team string))) {
	type party struct {
		priority     int
		group, owner string
	}

	levels, groups, owners := map[int]bool{}, map[party]bool{}, map[party]bool{}
	live(func(priority int, owner, team string) {
		g := Payer{Owner: owner, Team: team}.group()
		levels[priority] = true
		groups[party{priority, g, ""}], owners[party{priority, g, owner}] = true, true
	})

	for priority, level := range l.Levels {
		if !levels[priority] {
			delete(l.Levels, priority)
			continue
		}

		prune(level, func(g string) bool { return groups[party{priority, g, ""}] })

		// What a team's owners were ahead of each other ends with the team's last job.
		for g, t := range level {
			if !groups[party{priority, g, ""}] && t.Jobs == 0 {
				clear(t.Owners)
			}
			prune(t.Owners, func(o string) bool { return owners[party{priority, g, o}] })
		}
	}
}

// prune drops accounts without jobs that are not ahead, and of the others those that are the least
// ahead once there are more than entriesKept.
func prune[A interface{ account() *Account }](all map[string]A, live func(name string) bool) {
	var idle []string

	for name, a := range all {
		switch {
		case live(name) || a.account().Jobs > 0:
		case a.account().Ahead <= 0:
			delete(all, name)
		default:
			idle = append(idle, name)
		}
	}

	if len(idle) <= entriesKept {
		return
	}

	slices.SortFunc(idle, func(a, b string) int {
		return cmp.Or(cmp.Compare(all[a].account().Ahead, all[b].account().Ahead), cmp.Compare(a, b))
	})
	for _, name := range idle[:len(idle)-entriesKept] {
		delete(all, name)
	}
}

// Clone returns a copy that shares nothing with l. A ledger that was read, in which maps may be
// missing, becomes one that calls can be made on.
func (l *Ledger) Clone() *Ledger {
	out := NewLedger()
	maps.Copy(out.Charges, l.Charges)

	for priority, level := range l.Levels {
		out.Levels[priority] = Level{}
		for g, t := range level {
			copied := &Team{Account: t.Account, Owners: map[string]*Account{}}
			for o, a := range t.Owners {
				copied.Owners[o] = &Account{Ahead: a.Ahead, Jobs: a.Jobs}
			}
			out.Levels[priority][g] = copied
		}
	}
	return out
}

// Empty reports whether nobody is charged with anything, and nobody is ahead.
func (l *Ledger) Empty() bool { return len(l.Levels) == 0 && len(l.Charges) == 0 }

// Check reports whether calls can have led to a ledger that came from elsewhere: numbers are within
// bounds, and each account counts the charges that are on it. Its error is a *job.FieldError.
func (l *Ledger) Check() error {
	wrong := func(field string, value any, allowed string) error {
		return &job.FieldError{Field: field, Value: fmt.Sprintf("%.128q", fmt.Sprint(value)),
			Allowed: allowed}
	}

	jobs := map[string]int{}
	for id, c := range l.Charges {
		switch {
		case c.Weight < 1 || c.Weight > weightMost,
			c.Team != "" && (c.TeamWeight < 1 || c.TeamWeight > weightMost):
			return wrong("charges.weight", c.Weight, fmt.Sprintf("1 to %d", int64(weightMost)))
		case c.Cost != clampCharge(c.Cost), c.Took != clampCharge(c.Took):
			return wrong("charges.cost", c.Cost, fmt.Sprintf("0 to %d", chargeMost))
		case job.CheckID(id) != nil || len(c.Owner) > job.OwnerLimit || len(c.Team) > job.OwnerLimit:
			return wrong("charges", id, "an ID, and an owner and a team of up to 128 bytes")
		}

		at := fmt.Sprint(c.Priority, " ", c.group())
		jobs[at]++
		jobs[at+" "+c.Owner]++
	}
	return l.checkLevels(jobs, wrong)
}

// checkLevels wants accounts that are within bounds and have the charges that they count.
func (l *Ledger) checkLevels(jobs map[string]int,
	wrong func(field string, value any, allowed string) error) error {
	within := func(a *Account) bool { return a.Ahead >= -aheadMost && a.Ahead <= aheadMost }
	charged := 0

	for priority, level := range l.Levels {
		if priority < -job.PriorityLimit || priority > job.PriorityLimit {
			return wrong("levels", priority, "a priority of jobs")
		}

		for g, t := range level {
			at := fmt.Sprint(priority, " ", g)
			if t == nil || !within(&t.Account) || t.Jobs != jobs[at] {
				return wrong("levels", at, "a team with the jobs that are charged to it")
			}

			for o, a := range t.Owners {
				if a == nil || !within(a) || a.Jobs != jobs[at+" "+o] {
					return wrong("levels.owners", at+" "+o, "an owner with the jobs that are charged to it")
				}
				charged += a.Jobs
			}
		}
	}

	if charged != len(l.Charges) {
		return wrong("charges", len(l.Charges), "charges of owners that are known")
	}
	return nil
}
