package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/price"
)

// What clips have used, as Raft has it. An attempt's ranks say so while they run; when the attempt
// ends, what they have said by then goes into the job's record and into the rows of the day. A rank
// that says more afterwards, since it stopped later, has the rest settled. Thus each rank's device
// time is recorded once, whatever leaders and messages are lost.
//
// The attempt that ends its job is charged if the client has the clip, or has cancelled it. All
// others are charged to nobody: attempts that were lost or moved, as a whole, and failed jobs.

// usageSince is the version from which on jobs are metered.
const usageSince = 9

// Limits on what is kept of usage.
const (
	usageDays  = 400     // older days are one row for each currency
	usageRows  = 1 << 16 // then the oldest day goes there
	rowsSpare  = 64      // for what is beyond usageRows on one day
	endedKept  = 1024    // attempts whose ranks may say more
	endedRanks = 8192    // of all of these
	usageNames = 1024    // bytes of a name in a row
)

// metering says what an attempt has used when it ends, and what its job then costs. It is in the
// command that ends the attempt, so that the two are decided together: there is no moment at which
// a clip is made and not paid for. The leader prices it, by its own sheet; the others take its
// word, as their sheets may be other ones.
type metering struct {
	Ranks []rankUsage `json:"ranks"`
	Bill  *price.Bill `json:"bill,omitempty"`
}

// rankUsage is what a rank has used.
type rankUsage struct {
	Node   job.NodeID `json:"node"`
	Device string     `json:"device,omitempty"`
	Usage  job.Usage  `json:"usage,omitzero"`
	// Final: the rank has ended, and this is all.
	Final bool `json:"final,omitempty"`
}

// settlement is what a rank has used in all whose attempt had ended before it said so.
type settlement struct {
	Job     job.ID      `json:"job"`
	Attempt job.Attempt `json:"attempt"`
	Rank    int         `json:"rank"`
	rankUsage
}

// endedAttempt is an attempt that is over, some of whose ranks may not have said all. Most ranks
// have, by the time their attempt ends: the others of one that completes are done before rank 0.
// What remains are nodes that were told to stop, or that are gone and will never say any more.
type endedAttempt struct {
	Job     job.ID      `json:"job"`
	Attempt job.Attempt `json:"attempt"`
	At      time.Time   `json:"at"`
	Row     UsageKey    `json:"row"` // of what is settled, but for the day and the device
	Ranks   []rankUsage `json:"ranks"`
}

// UsageKey is what a row of usage is of.
type UsageKey struct {
	Day    string `json:"day,omitempty"` // in UTC, as 2006-01-02; empty: before all others
	Owner  string `json:"owner,omitempty"`
	Team   string `json:"team,omitempty"`
	Model  string `json:"model,omitempty"`
	Device string `json:"device,omitempty"` // kind
	// Plan is the subscription of the jobs that have one, Currency that of the amounts.
	Plan     string `json:"plan,omitempty"`
	Currency string `json:"currency,omitempty"`
}

// compare orders rows by day first, as exports have them.
func (k UsageKey) compare(o UsageKey) int {
	return cmp.Or(cmp.Compare(k.Day, o.Day), cmp.Compare(k.Owner, o.Owner),
		cmp.Compare(k.Team, o.Team), cmp.Compare(k.Model, o.Model), cmp.Compare(k.Device, o.Device),
		cmp.Compare(k.Plan, o.Plan), cmp.Compare(k.Currency, o.Currency))
}

// UsageRow is what the jobs of a row have used whose attempts ended on its day. An attempt that
// runs past midnight counts for the day of its end, as its price does.
type UsageRow struct {
	UsageKey
	// Jobs counts those that ended, whatever became of them, in the row of their first device.
	Jobs int `json:"jobs,omitempty"`
	// Charged is the device time that clients pay for, Included the part of it that plans cover.
	// Failed is of attempts that ended a failed job, Lost of all others: nobody pays for these.
	Charged  time.Duration `json:"charged_ns,omitempty"`
	Included time.Duration `json:"included_ns,omitempty"`
	Failed   time.Duration `json:"failed_ns,omitempty"`
	Lost     time.Duration `json:"lost_ns,omitempty"`
	Amount   price.Micro   `json:"amount,omitempty"`
	// Of all of that: bytes sent between ranks, multiply-adds, and joules where devices tell.
	Sent       int64   `json:"sent_bytes,omitempty"`
	Operations float64 `json:"operations,omitempty"`
	Joules     float64 `json:"joules,omitempty"`
}

// Time returns all device time of the row.
func (r UsageRow) Time() time.Duration { return r.Charged + r.Failed + r.Lost }

// Add returns the sum of two rows, under the key of r.
func (r UsageRow) Add(o UsageRow) UsageRow {
	sum := job.Usage{Sent: r.Sent, Operations: r.Operations, Joules: r.Joules}.
		Add(job.Usage{Sent: o.Sent, Operations: o.Operations, Joules: o.Joules})
	r.Sent, r.Operations, r.Joules = sum.Sent, sum.Operations, sum.Joules
	for _, d := range []struct {
		to *time.Duration
		v  time.Duration
	}{{&r.Charged, o.Charged}, {&r.Included, o.Included}, {&r.Failed, o.Failed}, {&r.Lost, o.Lost}} {
		*d.to = min(*d.to+d.v, rowTimeMost)
	}
	r.Jobs, r.Amount = min(r.Jobs+o.Jobs, 1<<40), min(r.Amount+o.Amount, rowAmountMost)
	return r
}

// Sums of rows stay at these once they come to them, so that none overflows.
const (
	rowTimeMost   = 100 * 365 * 24 * time.Hour
	rowAmountMost = price.Micro(1 << 61)
)

// check refuses what no ranks can have said.
func (m *metering) check() error {
	if m == nil {
		return nil
	}
	return checkRanks(m.Ranks)
}

// checkRanks bounds what the ranks of an attempt have used.
func checkRanks(ranks []rankUsage) error {
	if len(ranks) > job.NodesLimit {
		return fmt.Errorf("the usage of %d ranks; allowed: up to %d", len(ranks), job.NodesLimit)
	}
	for _, r := range ranks {
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

// check bounds what came from a node through the leader.
func (r rankUsage) check() error {
	if len(r.Device) > job.DeviceNameLimit || !utf8.ValidString(r.Device) {
		return fmt.Errorf("a device's name of %d bytes; allowed: up to %d of UTF-8", len(r.Device),
			job.DeviceNameLimit)
	}
	return r.Usage.Check()
}

// usageState is what all jobs have used. Its snapshot is a copy, so it may be written through.
type usageState struct {
	days map[string]map[UsageKey]UsageRow
	rows int
	// ended are attempts whose ranks may say more, the oldest first.
	ended []endedAttempt
}

// newUsageState is that of a cluster in which nothing was used.
func newUsageState() usageState {
	return usageState{days: map[string]map[UsageKey]UsageRow{}}
}

// metered puts into a record what its attempt has used that a command has just ended.
func metered(c command, old, r job.Record) job.Record {
	if c.Meter == nil || old.State != job.Running || r.State == job.Running {
		return r
	}

	for _, u := range c.Meter.Ranks {
		if u.Usage != (job.Usage{}) {
			r.Usage = r.Usage.Charge(cmp.Or(u.Device, unknownDevice), u.Usage, charged(r))
		}
	}

	// What the others would have cost, nobody needs to know.
	if charged(r) {
		r.Bill = c.Meter.Bill
	}
	return r
}

// unknownDevice is the kind of a node that is gone before it was asked.
const unknownDevice = "unknown"

// charged reports whether the attempt that has just ended is paid for.
func charged(r job.Record) bool { return r.State == job.Completed || r.State == job.Cancelled }

// note takes an attempt that a command has just ended into the rows of its day.
func (u *usageState) note(c command, old, r job.Record) {
	if c.Meter == nil || old.State != job.Running || r.State == job.Running {
		return
	}

	key := UsageKey{Owner: r.Owner, Team: r.Team, Model: r.Spec.Model}
	if b := r.Bill; b != nil {
		key.Plan, key.Currency = b.Plan, b.Currency
	}

	ended := endedAttempt{Job: r.ID, Attempt: r.Attempt, At: c.Now, Row: key,
		Ranks: slices.Clone(c.Meter.Ranks)}
	u.ended = append(u.ended, ended)
	u.dropEnded()

	// The bill has the devices of the job, in the order of their names, as those of this attempt are
	// all that is charged.
	used := job.Metered{}
	for _, rank := range ended.Ranks {
		if rank.Usage == (job.Usage{}) {
			continue
		}
		device := cmp.Or(rank.Device, unknownDevice)
		used = used.Charge(device, rank.Usage, true)
		u.add(c.Now, key, rowOf(device, rank.Usage, r.State))
	}

	for i, d := range used.Devices {
		row := UsageRow{UsageKey: UsageKey{Device: d.Device}}
		if i == 0 && r.State.Final() {
			row.Jobs = 1
		}
		if r.Bill != nil && i < len(r.Bill.Devices) {
			row.Amount, row.Included = r.Bill.Devices[i].Amount, r.Bill.Devices[i].Included
		}
		u.add(c.Now, key, row)
	}
}

// rowOf is the usage of a rank whose attempt has left its job in a state.
func rowOf(device string, u job.Usage, s job.State) UsageRow {
	// Bytes and operations are those of all ranks, whoever pays for their time.
	row := UsageRow{UsageKey: UsageKey{Device: device}, Sent: u.Sent, Operations: u.Operations,
		Joules: u.Joules}
	switch s {
	case job.Completed, job.Cancelled:
		row.Charged = u.Time
	case job.Failed:
		row.Failed = u.Time
	default:
		row.Lost = u.Time
	}
	return row
}

// add adds to the row of a day, and folds the oldest day where there are too many.
func (u *usageState) add(now time.Time, key UsageKey, row UsageRow) {
	key.Day, key.Device = dateOf(now), row.Device

	// One day alone cannot be folded: what is beyond its rows is one row for each currency.
	if _, known := u.days[key.Day][key]; !known && u.rows >= usageRows && !u.fold() {
		key = UsageKey{Day: key.Day, Currency: key.Currency}
	}
	if _, known := u.days[key.Day][key]; !known && u.rows >= usageRows+rowsSpare {
		return // of more currencies than any sheet has
	}
	u.put(key, row)

	// A day more may need two days to go, where it has many rows.
	for len(u.days) > usageDays || u.rows > usageRows {
		if !u.fold() {
			return
		}
	}
}

// put adds to a row, which it makes if there is none, and counts rows. It is what snapshots are
// read with, too.
func (u *usageState) put(key UsageKey, row UsageRow) {
	day := u.days[key.Day]

	if day == nil {
		day = map[UsageKey]UsageRow{}
		u.days[key.Day] = day
	}
	old, known := day[key]
	if !known {
		u.rows++
	}
	old.UsageKey = key
	day[key] = old.Add(row)
}

// fold adds the rows of the oldest day to those of all days before. It returns false where there is
// one day alone.
func (u *usageState) fold() bool {
	all := slices.Sorted(maps.Keys(u.days))

	// The days before all others are none that can be folded.
	if all[0] == "" {
		all = all[1:]
	}
	if len(all) < 2 {
		return false
	}

	// In order, as sums of floats depend on it.
	oldest := u.days[all[0]]
	delete(u.days, all[0])
	u.rows -= len(oldest)
	for _, key := range slices.SortedFunc(maps.Keys(oldest), UsageKey.compare) {
		u.put(UsageKey{Currency: key.Currency}, oldest[key])
	}
	return true
}

// dateOf is the day of a time, as rows have it. A time zone may lead out of the years that can be
// read again.
func dateOf(t time.Time) string {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return "9999-12-31"
	}
	return t.UTC().Format(time.DateOnly)
}

// over reports whether all ranks of an attempt have said all.
func (e endedAttempt) over() bool {
	return !slices.ContainsFunc(e.Ranks, func(r rankUsage) bool { return !r.Final })
}

// An attempt on a node that is gone for good stays in the list until others push it out. That costs
// a few hundred bytes for each, which is why there is no time limit: the clocks of coordinators
// differ, and one that is set forward must not end the wait for a node that is merely slow.

// dropEnded forgets the latest attempt if all its ranks have said all, and the oldest of too many:
// what nodes still have to say of those is lost.
func (u *usageState) dropEnded() {
	if last := len(u.ended) - 1; u.ended[last].over() {
		u.ended = u.ended[:last]
	}

	ranks, keep := 0, 0
	for i := len(u.ended) - 1; i >= 0 && keep < endedKept; i-- {
		if ranks += len(u.ended[i].Ranks); ranks > endedRanks {
			break
		}
		keep++
	}
	u.ended = slices.Delete(u.ended, 0, len(u.ended)-keep)
}

// find returns where an attempt is in the list of those that have ended, -1 if it is not.
func (u *usageState) find(id job.ID, a job.Attempt) int {
	return slices.IndexFunc(u.ended, func(e endedAttempt) bool {
		return e.Job == id && e.Attempt == a
	})
}

// settle records the rest of what ranks have used whose attempts are over. Nobody pays for it: the
// price was fixed. What is known already, or of an attempt that is forgotten, changes nothing.
func (s *state) settle(c command) error {
	for _, more := range c.Settle {
		if err := more.check(); err != nil {
			return fmt.Errorf("cannot apply a %s command: %w", c.Kind, err)
		}
	}

	u := &s.usage
	for _, more := range c.Settle {
		at := u.find(more.Job, more.Attempt)
		if at < 0 || more.Rank < 0 || more.Rank >= len(u.ended[at].Ranks) {
			continue
		}
		e := u.ended[at]
		was := e.Ranks[more.Rank]
		if was.Final || was.Node != more.Node {
			continue
		}

		rest := more.Usage.Beyond(was.Usage)
		e.Ranks = slices.Clone(e.Ranks)
		e.Ranks[more.Rank] = more.rankUsage
		u.ended[at] = e
		if e.over() {
			u.ended = slices.Delete(u.ended, at, at+1)
		}

		// The job may be deleted by now; the rows stay.
		device := cmp.Or(more.Device, was.Device, unknownDevice)
		u.add(c.Now, e.Row, rowOf(device, rest, job.Queued))
		if r := s.jobs[more.Job]; r != nil {
			s.put(r.Used(device, rest))
		}
	}
	return nil
}
