package core

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// View is a job as clients see it.
type View struct {
	job.Record
	Progress job.Progress `json:"progress,omitzero"`       // of a running job; zero at first
	Waiting  string       `json:"waiting,omitempty"`       // why a queued job does not run yet
	Ahead    int          `json:"jobs_ahead,omitempty"`    // waiting jobs that go before this one
	Nodes    []string     `json:"nodes_by_rank,omitempty"` // names, of the latest placement
	Decision string       `json:"decision,omitempty"`      // on moving to other shards
	// PreviewStep is after how many steps the latest preview was made, 0: there is none.
	PreviewStep int `json:"preview_step,omitempty"`
	// Expires is when the job and its clip are deleted because of their age; zero: not for that.
	Expires time.Time `json:"expires,omitzero"`
	// Damage says what became of a completed job's objects, as far as somebody has asked for them.
	Damage string `json:"damage,omitempty"`
	// Live is what the running attempt has used so far; it is neither charged nor not yet.
	Live job.Metered `json:"live,omitzero"`
}

// View puts together what is known about a job, or returns ErrNotFound. On a follower it lacks
// what only the leader knows.
func (c *Core) View(id job.ID) (View, error) {
	r, ok := c.machine.Record(id)
	if !ok {
		return View{}, fmt.Errorf("job %.64s: %w", id, ErrNotFound)
	}
	v := View{Record: r, Expires: c.expires(r), Damage: c.damage.of(r)}
	if r.State == job.Queued {
		v.Ahead = c.aheadOf(id)
	}
	l := c.lead
	if l == nil {
		return v, nil
	}

	switch r.State {
	case job.Running:
		if p := l.progress[id]; p.Attempt == r.Attempt {
			v.Progress = p
		}
		v.PreviewStep, v.Live = l.previews[id].Step, l.running(r)
		v.Decision = cmp.Or(l.yieldRequests[id], l.decisions[id])
	case job.Queued:
		if w := l.waiting[id]; w != nil {
			v.Waiting = w.why
		}
	}
	for _, n := range r.Plan.Nodes {
		v.Nodes = append(v.Nodes, l.nodeName(n))
	}
	return v, nil
}

// ListOptions selects a page of jobs.
type ListOptions struct {
	After job.ID // the last one of the page before; empty: from the start
	Limit int    // 1..ListLimit; 0: 20
	Order string // "asc" (oldest first) or "desc" (default)
	// Owner is whose jobs are listed; empty: everybody's.
	Owner string
	// Visible says whose jobs exist for the one who asks; nil: all.
	Visible func(owner string) bool
}

// ListLimit is the most jobs on one page.
const ListLimit = 100

// Page is a run of jobs.
type Page struct {
	Jobs []View `json:"jobs"`
	More bool   `json:"has_more"`
}

// Check fills o's gaps and refuses what is out of bounds with a *job.FieldError.
func (o *ListOptions) Check() error {
	setDefault(&o.Limit, 20)
	setDefault(&o.Order, "desc")
	switch {
	case o.Limit < 1 || o.Limit > ListLimit:
		return &job.FieldError{Field: "limit", Value: fmt.Sprint(o.Limit), Allowed: "1 to 100"}
	case o.Order != "asc" && o.Order != "desc":
		return &job.FieldError{Field: "order", Value: fmt.Sprintf("%.32q", o.Order),
			Allowed: "asc, desc"}
	}
	return nil
}

// shows reports whether the jobs of an owner are on the page.
func (o ListOptions) shows(owner string) bool {
	return (o.Owner == "" || o.Owner == owner) && (o.Visible == nil || o.Visible(owner))
}

// Page returns jobs in the order of their creation; o has passed its Check. ErrNotFound if the job
// after which the page begins is unknown.
func (c *Core) Page(o ListOptions) (Page, error) {
	var ids []job.ID
	for _, id := range c.machine.state.order {
		if o.shows(c.machine.state.jobs[id].Owner) {
			ids = append(ids, id)
		}
	}
	if o.Order == "desc" {
		slices.Reverse(ids)
	}
	if o.After != "" {
		i := slices.Index(ids, o.After)
		if i < 0 {
			return Page{}, fmt.Errorf("job %.64s: %w", o.After, ErrNotFound)
		}
		ids = ids[i+1:]
	}

	p := Page{Jobs: []View{}, More: len(ids) > o.Limit}
	for _, id := range ids[:min(len(ids), o.Limit)] {
		if v, err := c.View(id); err == nil {
			p.Jobs = append(p.Jobs, v)
		}
	}
	return p, nil
}
