package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sched"
)

// sharesState is who has used how much of the devices, since version 9: the ledger of fair queueing
// and the sums of a day, by which quotas go. Both count from the commands that place attempts and
// end them, so a new leader goes on where the one before was.
type sharesState struct {
	Ledger *sched.Ledger `json:"ledger"`
	// Day is that of Owners and Teams, in UTC: days since 1970. They say what attempts have used of it
	// that are over, in microseconds of device time.
	Day    int64            `json:"day,omitempty"`
	Owners map[string]int64 `json:"owners,omitempty"`
	Teams  map[string]int64 `json:"teams,omitempty"`
	// Quotas are those of owners that have no key here, as they were with their latest job.
	Quotas map[string]access.Quota `json:"quotas,omitempty"`
}

// Limits on what is kept of shares. Who is beyond them is not counted.
const (
	usersKept  = 1 << 16
	quotasKept = 4096
)

// charge is what a placement is counted with; see sched.Payer.
type charge struct {
	Cost       time.Duration `json:"cost_ns"`
	Weight     int64         `json:"weight"`
	TeamWeight int64         `json:"team_weight,omitempty"`
}

// chargeOf is the charge of a decision.
func chargeOf(d sched.Decision) *charge {
	return &charge{Cost: d.Cost, Weight: d.Payer.Weight, TeamWeight: d.Payer.TeamWeight}
}

// payer is whom a job is charged to.
func (ch charge) payer(r job.Record) sched.Payer {
	return sched.Payer{Owner: r.Owner, Team: r.Team, Weight: ch.Weight, TeamWeight: ch.TeamWeight}
}

func newShares() *sharesState {
	return &sharesState{Ledger: sched.NewLedger(), Owners: map[string]int64{},
		Teams: map[string]int64{}, Quotas: map[string]access.Quota{}}
}

// dayOf is the day of a time in UTC, and since when it is.
func dayOf(t time.Time) (day int64, midnight time.Time) {
	midnight = t.UTC().Truncate(24 * time.Hour)
	return midnight.Unix() / (24 * 60 * 60), midnight
}

// follow takes in what a command has made of a job. Commands of before version 9 place jobs without
// a charge, and what is not charged is not counted.
func (s *state) follow(c command, old, r job.Record) {
	sh := s.shares
	if c.Version < ownersSince {
		return
	}

	if c.Kind == kindPlace && c.Charge != nil && old.State == job.Queued {
		sh.Ledger.Place(r.ID, c.Charge.payer(r), r.Spec.Priority, c.Charge.Cost)
		return
	}
	if old.State.Final() || old.State == r.State {
		return
	}

	// The time is that of the entry, which all coordinators have. An attempt that was lost is charged
	// to nobody.
	took := time.Duration(0)
	if old.State == job.Running && (c.Kind != kindLose || c.Setback.Planned) {
		took = timesRanks(c.Took, &old)
		sh.use(old, took, c.Now)
	}

	if !r.State.Final() {
		sh.Ledger.Spend(r.ID, took)
		return
	}

	sh.Ledger.End(r.ID, took)
	if sh.Ledger.Empty() {
		return
	}

	sh.Ledger.Tidy(func(yield func(priority int, owner, team string)) {
		for _, j := range s.index.live {
			o := j.r
			yield(o.Spec.Priority, o.Owner, o.Team)
		}
	})
}

// timesRanks multiplies a time by the ranks of a job's plan, from 0 to what a ledger takes.
func timesRanks(d time.Duration, r *job.Record) time.Duration {
	const most = 1 << 52 // nanoseconds: 52 days of each rank
	return min(max(d, 0), most) * time.Duration(len(r.Plan.Nodes))
}

// use adds an attempt that is over to the sums of the day, but for what it took before midnight.
func (sh *sharesState) use(r job.Record, took time.Duration, now time.Time) {
	day, midnight := dayOf(now)
	if day != sh.Day {
		sh.Day = day
		clear(sh.Owners)
		clear(sh.Teams)
	}

	us := min(took, timesRanks(now.Sub(midnight), &r)).Microseconds()
	add(sh.Owners, r.Owner, us)
	add(sh.Teams, r.Team, us) // "" sums up who has no team
}

// add adds to the sum of a name, if it has one or there is room for it. A sum stays at its most, so
// that no log makes it overflow.
func add(sums map[string]int64, name string, us int64) {
	if _, ok := sums[name]; ok || len(sums) < usersKept {
		sums[name] = min(sums[name]+us, 1<<60)
	}
}

// noteQuota remembers the quota of an owner that has no key here.
func (s *state) noteQuota(owner string, q *access.Quota) {
	quotas := s.shares.Quotas
	if _, known := s.access.Keys[owner]; q == nil || owner == "" || known || q.Check() != nil {
		delete(quotas, owner)
		return
	}
	if _, ok := quotas[owner]; !ok && len(quotas) >= quotasKept {
		s.dropQuotas()
	}
	if _, ok := quotas[owner]; ok || len(quotas) < quotasKept {
		quotas[owner] = *q
	}
}

// dropQuotas forgets the quotas of owners without jobs that wait or run.
func (s *state) dropQuotas() {
	live := map[string]bool{}
	for _, j := range s.index.live {
		live[j.r.Owner] = true
	}
	maps.DeleteFunc(s.shares.Quotas, func(owner string, _ access.Quota) bool { return !live[owner] })
}

// copy returns a copy for a snapshot, nil if there is nothing in it.
func (sh *sharesState) copy() *sharesState {
	if sh.Ledger.Empty() && len(sh.Owners)+len(sh.Teams)+len(sh.Quotas) == 0 {
		return nil
	}
	return sh.fresh()
}

// fresh returns a copy that shares nothing with sh, also of one that was read and has gaps.
func (sh *sharesState) fresh() *sharesState {
	out := newShares()
	out.Ledger, out.Day = sh.Ledger.Clone(), sh.Day
	maps.Copy(out.Owners, sh.Owners)
	maps.Copy(out.Teams, sh.Teams)
	maps.Copy(out.Quotas, sh.Quotas)
	return out
}

// checkShares wants shares to which commands can have led, of these jobs.
func (s *Snapshot) checkShares() error {
	sh := s.Shares
	if sh == nil {
		return nil
	}
	if sh.Ledger == nil {
		return &job.FieldError{Field: "shares.ledger", Value: "missing", Allowed: "one"}
	}

	if err := sh.Ledger.Check(); err != nil {
		return at("shares.ledger", err)
	}

	live := map[job.ID]job.Record{}
	for _, r := range s.Jobs {
		if !r.State.Final() {
			live[r.ID] = r
		}
	}

	for id, c := range sh.Ledger.Charges {
		if r, ok := live[id]; !ok || r.Owner != c.Owner || r.Team != c.Team ||
			r.Spec.Priority != c.Priority {
			return &job.FieldError{Field: "shares.ledger.charges", Value: string(id),
				Allowed: "charges of jobs that wait or run, to their owners"}
		}
	}

	// Sums and quotas need no jobs: they are of owners, who may have deleted all of theirs.
	return cmp.Or(checkSums("shares.owners", sh.Owners), checkSums("shares.teams", sh.Teams),
		checkQuotas(sh.Quotas))
}

// checkSums wants device times from 0, of as many names as are kept.
func checkSums(field string, sums map[string]int64) error {
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if us := sums[name]; us < 0 || us > 1<<60 || len(name) > job.OwnerLimit || len(sums) > usersKept {
			return &job.FieldError{Field: field, Value: fmt.Sprintf("%.64q: %d, of %d", name, us,
				len(sums)), Allowed: fmt.Sprintf("from 0, of up to %d", usersKept)}
		}
	}
	return nil
}

// checkQuotas wants quotas that an owner can have.
func checkQuotas(quotas map[string]access.Quota) error {
	for _, name := range slices.Sorted(maps.Keys(quotas)) {
		if len(name) > job.OwnerLimit || len(quotas) > quotasKept {
			return &job.FieldError{Field: "shares.quotas", Value: fmt.Sprintf("%.64q, of %d", name,
				len(quotas)), Allowed: fmt.Sprintf("up to %d", quotasKept)}
		}
		if err := fieldError(quotas[name].Check()); err != nil {
			return at(fmt.Sprintf("shares.quotas[%.64q]", name), err)
		}
	}
	return nil
}
