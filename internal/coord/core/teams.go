package core

import (
	"cmp"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// TeamUse is what a team has of the cluster at present.
type TeamUse struct {
	Team            string // "" for jobs without a team, OtherTeams for all beyond the largest
	Queued, Running int
	Today           time.Duration // device time since midnight in UTC
}

// OtherTeams stands for the teams that have the least, where there are many. No team has this name.
const OtherTeams = "(others)"

// TeamUses returns what the teams have that have used the most today, up to a number of them, and
// what all others have together. It is empty on a follower, which does not know what runs since
// when; a sum over coordinators is then that of the cluster.
func (c *Core) TeamUses(most int) []TeamUse {
	l := c.lead
	if l == nil {
		return nil
	}

	uses, used := map[string]*TeamUse{}, l.usedToday()
	// Teams without jobs at present are those that have used something today.
	of := func(team string) *TeamUse {
		if uses[team] == nil {
			uses[team] = &TeamUse{Team: team, Today: used.team(team)}
		}
		return uses[team]
	}
	for team := range c.machine.state.shares.Teams {
		of(team)
	}
	for _, r := range c.machine.state.jobs {
		switch r.State {
		case job.Queued:
			of(r.Team).Queued++
		case job.Running:
			of(r.Team).Running++
		}
	}
	return largest(uses, most)
}

// largest returns the teams with the most device time, and the sum of the others.
func largest(uses map[string]*TeamUse, most int) (out []TeamUse) {
	for _, u := range uses {
		if u.Queued+u.Running > 0 || u.Today > 0 {
			out = append(out, *u)
		}
	}
	slices.SortFunc(out, func(a, b TeamUse) int {
		return cmp.Or(cmp.Compare(b.Today, a.Today), cmp.Compare(a.Team, b.Team))
	})
	if len(out) <= most {
		return out
	}

	// One series more, however many teams there are.
	rest := TeamUse{Team: OtherTeams}
	for _, u := range out[most:] {
		rest.Queued += u.Queued
		rest.Running += u.Running
		rest.Today += u.Today
	}
	return append(out[:most:most], rest)
}
