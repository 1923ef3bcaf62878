package sched

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Limit is what an owner or a team may have of the devices. The zero one does not bound anything.
type Limit struct {
	// Name is how reasons name whom it bounds; "": by its id.
	Name string
	// Weight is the share of the devices in relation to others'; 0: 1.
	Weight float64
	// Running is how many jobs may run at a time; 0: any number.
	Running int
	// Spent says why none of its jobs may run at present; "": they may.
	Spent string
}

// inTurn returns the queued jobs in the order in which they are considered: the highest priority
// first, of one priority by the shares of teams, then of owners within a team, then by age.
func (s *scheduler) inTurn() []*Queued {
	order := s.byPriority()
	for lo := 0; lo < len(order); {
		hi, mixed := lo+1, false
		first := &s.Queued[order[lo]]
		for ; hi < len(order) && s.Queued[order[hi]].Spec.Priority == first.Spec.Priority; hi++ {
			q := &s.Queued[order[hi]]
			mixed = mixed || q.Owner != first.Owner || q.Team != first.Team
		}

		if mixed {
			s.share(order[lo:hi])
		}
		lo = hi
	}

	out := make([]*Queued, len(order))
	for i, at := range order {
		out[i] = &s.Queued[at]
	}
	return out
}

// byPriority returns the queued jobs, as numbers of the view, the highest priority first. There are
// few priorities, and few of those that are allowed.
func (s *scheduler) byPriority() []int {
	var firsts [2*job.PriorityLimit + 2]int // where jobs of a priority begin, the highest first
	at := func(i int) int {
		const most = job.PriorityLimit
		return most - min(max(s.Queued[i].Spec.Priority, -most), most)
	}
	for i := range s.Queued {
		firsts[at(i)+1]++
	}
	for p := range firsts[1:] {
		firsts[p+1] += firsts[p]
	}

	order := make([]int, len(s.Queued))
	for i := range s.Queued {
		order[firsts[at(i)]] = i
		firsts[at(i)]++
	}
	return order
}

// turn is a queued job on its way to its place in the order.
type turn struct {
	at    int // in View.Queued
	start int64
	begun bool
	cost  int64
	payer Payer
}

// begunStart is before all starts of others: a job that has begun has had its turn.
const begunStart = -1

// share sorts jobs of one priority, given by age, as start-time fair queueing would start them if
// each took what it is predicted to: see Ledger.
func (s *scheduler) share(order []int) {
	level := s.Ledger.Levels[s.Queued[order[0]].Spec.Priority]

	owners, groups := map[Payer][]turn{}, map[string][]turn{}
	var payers []Payer
	for _, at := range order {
		q := &s.Queued[at]

		_, begun := s.Ledger.Charges[q.ID]
		p := s.payer(q.Owner, q.Team)
		if owners[p] == nil {
			payers = append(payers, p)
		}
		owners[p] = append(owners[p], turn{at: at, begun: begun, payer: p,
			cost: clampCharge(q.Cost.Microseconds())})
	}

	// Both steps work on the same turns: begin overwrites the start among the team's jobs by the one
	// among the teams, once that has given the order within the team.
	//
	// First each owner's jobs among those of its team, then each team's among those of others.
	var names []string
	for _, p := range payers {
		g := p.group()
		if groups[g] == nil {
			names = append(names, g)
		}

		ahead := int64(0)
		if t := level[g]; t != nil && t.Owners[p.Owner] != nil {
			ahead = t.Owners[p.Owner].Ahead
		}

		begin(owners[p], ahead+s.over[p], p.Weight)
		groups[g] = append(groups[g], owners[p]...)
	}

	var all []turn
	for _, g := range names {
		sortTurns(groups[g])

		p, ahead := groups[g][0].payer, int64(0)
		if t := level[g]; t != nil {
			ahead = t.Ahead
		}

		begin(groups[g], ahead+s.overGroup[g], p.weight())
		all = append(all, groups[g]...)
	}

	sortTurns(all)
	// The places are written over in the view's own numbers; what a job is stays where it was.
	for i, t := range all {
		order[i] = t.at
	}
}

// begin gives jobs of one account their virtual starts: each when the one before it ends. A job
// that has begun is charged already, and comes right behind the one before it.
func begin(jobs []turn, ahead, weight int64) {
	last, next := int64(begunStart), max(ahead, 0)
	for i := range jobs {
		if t := &jobs[i]; t.begun {
			t.start = last
		} else {
			t.start = next
			last, next = next, min(next+max(perWeight(t.cost, weight), 1), 2*aheadMost)
		}
	}
}

// sortTurns sorts by start, and of equal ones by age.
func sortTurns(all []turn) {
	slices.SortFunc(all, func(a, b turn) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.at, b.at))
	})
}

// payer returns who pays for jobs of an owner and a team, with the weights of this round. A job
// that is charged already keeps those that it was charged with.
func (s *scheduler) payer(owner, team string) Payer {
	return NewPayer(owner, team, s.Owners[owner].Weight, s.Teams[team].Weight)
}

// countOver notes what running jobs have taken beyond what they were charged with. Otherwise an
// owner whose jobs take ten times what was predicted would have others' shards until they end.
func (s *scheduler) countOver() {
	s.over, s.overGroup = map[Payer]int64{}, map[string]int64{}
	for i := range s.Running {
		r := &s.Running[i]
		c, ok := s.Ledger.Charges[r.ID]
		if more := c.Took + clampCharge(r.Taken.Microseconds()) - c.Cost; ok && more > 0 {
			p := s.payer(r.Owner, r.Team)
			s.over[p] += perWeight(more, p.Weight)
			s.overGroup[p.group()] += perWeight(more, p.weight())
		}
	}
}

// limited says why a job may not run whatever is free: it, or its team, has had what it may have.
func (s *scheduler) limited(owner, team string) string {
	if len(s.Owners) == 0 && len(s.Teams) == 0 {
		return ""
	}

	limits := []struct {
		Limit
		kind, id string
		running  int
	}{{s.Owners[owner], "key", owner, s.runningOf[owner]},
		{s.Teams[team], "team", team, s.runningIn[team]}}

	for _, l := range limits {
		switch {
		case l.kind == "team" && team == "":
		case l.Spent != "":
			return "waits " + l.Spent
		case l.Running > 0 && l.running >= l.Limit.Running:
			return fmt.Sprintf("waits: %s may run %s at a time", l.name(l.kind, l.id), jobs(l.Limit.Running))
		}
	}
	return ""
}

// spent says why a running job has to stop and wait; "": it may go on.
func (s *scheduler) spent(r *Running) string {
	why := s.Owners[r.Owner].Spent
	if r.Team != "" {
		why = cmp.Or(why, s.Teams[r.Team].Spent)
	}
	if why == "" {
		return ""
	}
	return "it waits " + why
}

// name is how a reason names whom a limit bounds.
func (l Limit) name(kind, id string) string {
	return cmp.Or(l.Name, kind+" "+id)
}

// itsTurn says who goes first, and why, where the jobs of others do; "" where all that go first are
// the owner's own, so that it is the shards that the job waits for. Others are counted, not named:
// who they are is not the owner's to know.
func (s *scheduler) itsTurn(q *Queued) string {
	others := s.ahead - s.aheadOf[q.Owner]
	if others == 0 {
		return ""
	}

	p := s.payer(q.Owner, q.Team)
	name, weight := s.Owners[q.Owner].name("key", q.Owner), p.Weight
	used := s.overGroup[p.group()]

	// The account is that of the group, which is what others are ahead of first.
	if t := s.Ledger.Levels[q.Spec.Priority][p.group()]; t != nil {
		used += t.Ahead
	}
	if q.Team != "" {
		name, weight = s.Teams[q.Team].name("team", q.Team), p.TeamWeight
	}

	text := fmt.Sprintf("waits for its turn: %s of others first", jobs(others))
	if seconds := float64(used) * float64(weight) / weightUnit / 1e6; seconds >= 0.1 {
		text += fmt.Sprintf(", as %s has used %.4g device-seconds more of its share", name, seconds)
	}
	return text
}

// jobs writes a number of jobs for people.
func jobs(n int) string {
	if n == 1 {
		return "1 job"
	}
	return fmt.Sprintf("%d jobs", n)
}

// CostUnknown is what a job is taken to cost of which nothing is known: no node has said how fast
// it is, or the model what it computes. It is corrected when the job ends.
const CostUnknown = time.Minute
