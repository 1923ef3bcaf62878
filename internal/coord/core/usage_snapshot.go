package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/longtake/longtake/internal/job"
)

// A snapshot has the rows in the order of their keys, as equal states have to give equal bytes. One
// that comes from elsewhere is checked as a whole before any of it is used: rows that stand twice
// would be added, and lengths and sums beyond those that commands lead to could overflow.

// usageSnapshot is the state of usage as it is written.
type usageSnapshot struct {
	Rows  []UsageRow     `json:"rows,omitempty"` // in the order of their keys
	Ended []endedAttempt `json:"ended,omitempty"`
}

// snapshot copies the state; nil: there is none.
func (u *usageState) snapshot() *usageSnapshot {
	if u.rows == 0 && len(u.ended) == 0 {
		return nil
	}
	return &usageSnapshot{Rows: u.all("", ""), Ended: slices.Clone(u.ended)}
}

// all returns the rows of days from one to another, both included and as rows have them, in order;
// "" for either: without that end.
func (u *usageState) all(from, to string) []UsageRow {
	var out []UsageRow

	for _, day := range slices.Sorted(maps.Keys(u.days)) {
		if day < from || to != "" && day > to {
			continue
		}
		rows := u.days[day]
		for _, key := range slices.SortedFunc(maps.Keys(rows), UsageKey.compare) {
			out = append(out, rows[key])
		}
	}
	return out
}

// restore replaces the state by one that was checked.
func (u *usageState) restore(s *usageSnapshot) {
	*u = newUsageState()
	if s == nil {
		return
	}
	for _, r := range s.Rows {
		u.put(r.UsageKey, r)
	}
	u.ended = s.Ended
}

// check wants rows in order and attempts that can have ended.
func (s *usageSnapshot) check() error {
	if s == nil {
		return nil
	}
	if len(s.Rows) > usageRows+rowsSpare || len(s.Ended) > endedKept {
		return &job.FieldError{Field: "usage", Value: fmt.Sprintf("%d rows, %d attempts", len(s.Rows),
			len(s.Ended)), Allowed: fmt.Sprintf("up to %d and %d", usageRows+rowsSpare, endedKept)}
	}

	// Rows are found by their keys, so each may be there once.
	for i, r := range s.Rows {
		err := r.check()
		if err == nil && i > 0 && s.Rows[i-1].compare(r.UsageKey) >= 0 {
			err = fmt.Errorf("it is not behind the row before it")
		}
		if err != nil {
			return at(fmt.Sprintf("usage.rows[%d]", i), err)
		}
	}
	for i, e := range s.Ended {
		if err := e.check(); err != nil {
			return at(fmt.Sprintf("usage.ended[%d]", i), err)
		}
	}
	return nil
}

// check wants a day and names that rows can have.
func (k UsageKey) check() error {
	if _, err := time.Parse(time.DateOnly, k.Day); err != nil && k.Day != "" {
		return fmt.Errorf("day %.32q is none", k.Day)
	}
	// They are names of principals, models and devices, each of which has a limit of its own.
	for _, s := range []string{k.Owner, k.Team, k.Model, k.Device, k.Plan, k.Currency} {
		if len(s) > usageNames || !utf8.ValidString(s) {
			return fmt.Errorf("a name of %d bytes; allowed: up to %d of UTF-8", len(s), usageNames)
		}
	}
	return nil
}

// check wants sums from 0 that further ones can be added to.
func (r UsageRow) check() error {
	least := min(r.Charged, r.Included, r.Failed, r.Lost)
	most := max(r.Charged, r.Included, r.Failed, r.Lost)
	if least < 0 || most > rowTimeMost || r.Jobs < 0 || r.Amount < 0 || r.Amount > rowAmountMost {
		return fmt.Errorf("%v to %v, %d jobs, %v", least, most, r.Jobs, r.Amount)
	}
	return cmp.Or(r.UsageKey.check(),
		job.Usage{Sent: r.Sent, Operations: r.Operations, Joules: r.Joules}.Check())
}

// check wants an attempt that there can have been, with ranks that can be settled.
func (e endedAttempt) check() error {
	return cmp.Or(job.CheckID(e.Job), e.Row.check(), checkRanks(e.Ranks))
}
