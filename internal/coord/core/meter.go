package core

import (
	"cmp"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/wire"
)

// The leader's side of metering. Ranks report sums since their start, never differences, so that a
// heartbeat that is lost, doubled or late does no harm. What they say of a live attempt stays in
// memory; what is committed are sums again, once for each rank when its attempt ends, and once more
// for a rank that goes on for a while after that.

// attemptMeter is what the ranks of a live attempt have said that they have used, by rank. A new
// leader hears it all with the next heartbeats, as ranks say it from their start.
type attemptMeter struct {
	attempt job.Attempt
	ranks   []rankUsage
}

// meter notes what a rank of a live attempt has used; final: it has ended. Heartbeats may come
// late, and then have less.
func (l *leader) meter(id job.NodeID, w wire.Work, u job.Usage, final bool) {
	r, live := l.live(id, w)
	if !live || u.Time == 0 {
		return
	}
	m := l.meterOf(r)
	rank := &m.ranks[w.Rank]
	if rank.Final || u.Time < rank.Usage.Time {
		return
	}

	// The kind stays known where the node has left the table meanwhile.
	*rank = rankUsage{Node: id, Device: rank.Device, Usage: u, Final: final}
	if n := l.nodes[id]; n != nil {
		rank.Device = n.reg.Device
	}
}

// meterOf returns the meter of a job's live attempt.
func (l *leader) meterOf(r *job.Record) *attemptMeter {
	m := l.meters[r.ID]

	// Nodes that were never heard have their place, too, so that they can be settled.
	if m == nil || m.attempt != r.Attempt {
		m = &attemptMeter{attempt: r.Attempt}
		for _, id := range r.Plan.Nodes {
			u := rankUsage{Node: id}
			if n := l.nodes[id]; n != nil {
				u.Device = n.reg.Device
			}
			m.ranks = append(m.ranks, u)
		}
		l.meters[r.ID] = m
	}
	return m
}

// metering returns what a job's live attempt has used, for the command that ends it; nil where not
// all coordinators know what that is. bills says whether the client has to pay.
func (l *leader) metering(r *job.Record, bills bool) *metering {
	if l.c.machine.Version() < usageSince || r.State != job.Running {
		return nil
	}
	m := &metering{Ranks: slices.Clone(l.meterOf(r).ranks)}
	if bills && l.c.cfg.Pricing != nil {
		m.Bill = l.c.bill(*r, m.Ranks)
	}
	return m
}

// bill prices what the ranks of a job's last attempt have used.
func (c *Core) bill(r job.Record, ranks []rankUsage) *price.Bill {
	var used job.Metered
	for _, rank := range ranks {
		if rank.Usage != (job.Usage{}) {
			used = used.Charge(cmp.Or(rank.Device, unknownDevice), rank.Usage, true)
		}
	}
	b := c.cfg.Pricing.Bill(c.priced(r, used))
	return &b
}

// compareSheets warns of a bill by another sheet than this coordinator's: what a clip costs should
// not depend on who leads. Each other sheet is told once.
func (c *Core) compareSheets(r job.Record) {
	if r.Bill == nil || r.Bill.Sheet == c.otherSheet || c.Leads() {
		return
	}
	// After a start the log is applied again, with bills of sheets that were replaced since.
	if age := c.cfg.Now().Sub(r.Finished); age > sheetAge {
		return
	}

	own := ""
	if c.cfg.Pricing != nil {
		own = c.cfg.Pricing.Hash
	}
	if r.Bill.Sheet != own {
		c.otherSheet = r.Bill.Sheet
		c.log.Warn("another coordinator has another price sheet than this one; give all the same",
			"theirs", r.Bill.Sheet, "own", own, "job", r.ID)
	}
}

// sheetAge is how old a bill may be to say something of the present sheets.
const sheetAge = time.Minute

// priced is what a bill is made from.
func (c *Core) priced(r job.Record, used job.Metered) price.Job {
	// A kind of device is a line of the bill.
	j := price.Job{Model: r.Spec.Model, Priority: r.Spec.Priority}

	for _, d := range used.Devices {
		j.Devices = append(j.Devices, price.Use{Device: d.Device, Time: d.Charged})
	}

	// Included time is used in the order in which jobs end.
	who := price.Subject{Owner: r.Owner, Name: c.KeyName(r.Owner), Team: r.Team}
	if s, ok := c.cfg.Pricing.Subscriber(who); ok {
		j.Plan = &s.Plan
		j.Left = s.Plan.Included - c.machine.state.usage.included(s, who, c.cfg.Now())
	}
	return j
}

// KeyName is the name of a key, "" for an owner that is none or is not kept any more. Price sheets
// may name a key by it.
func (c *Core) KeyName(id string) string { return c.machine.state.access.Keys[id].Name }

// included returns how much of a subscriber's device time of this month was used.
func (u *usageState) included(s price.Subscriber, who price.Subject, now time.Time) (
	sum time.Duration) {
	now = now.UTC()

	for day := 1; day <= now.Day(); day++ {
		date := time.Date(now.Year(), now.Month(), day, 0, 0, 0, 0, time.UTC)
		for key, row := range u.days[dateOf(date)] {
			own := key.Owner == who.Owner
			if s.Team {
				own = key.Team == who.Team
			}
			if own && key.Plan == s.Plan.Name {
				sum += row.Included
			}
		}
	}
	return sum
}

// The observer counts what is committed, at the moment at which it is. It hears of nothing twice: a
// leader that does not learn that its command was committed does not tell, and nobody else does.

// told tells the observer what an attempt has used that has just ended.
func (l *leader) told(m *metering, after job.Record) {
	if m == nil {
		return
	}
	for _, rank := range m.Ranks {
		if rank.Usage != (job.Usage{}) {
			l.c.observer.Metered(cmp.Or(rank.Device, unknownDevice), rank.Usage, charged(after))
		}
	}
}

// A rank's last word reaches the log in one of two ways. If it comes while the attempt is live, as
// of ranks that are done before rank 0, it is part of the command that ends the attempt. If it
// comes later, the difference is committed by itself.

// settle takes the word of ranks that have ended: those of live attempts are noted, of others the
// rest is committed. It returns those that need not be told again.
func (l *leader) settle(id job.NodeID, ended []wire.Ended) (settled []wire.Work) {
	device := ""
	if n := l.nodes[id]; n != nil {
		device = n.reg.Device
	}

	// The word of a rank whose attempt is live is kept in memory, and comes again to the next leader.
	var rest []settlement

	for _, e := range ended {
		if _, live := l.live(id, e.Work); live {
			l.meter(id, e.Work, e.Usage, true)
			continue
		}
		if l.c.machine.settled(id, e.Work) {
			settled = append(settled, e.Work)
			continue
		}
		rest = append(rest, settlement{e.Job, e.Attempt, e.Rank,
			rankUsage{Node: id, Device: device, Usage: e.Usage, Final: true}})
	}
	if len(rest) == 0 || l.c.machine.Version() < usageSince {
		return settled
	}

	// What was said before has been counted.
	before := make([]job.Usage, len(rest))
	for i, s := range rest {
		before[i] = l.c.machine.state.usage.said(s)
	}
	if _, err := l.c.commit(command{Kind: kindSettle, Settle: rest}); err != nil {
		l.c.log.Warn("cannot record what ranks have used", "node", id, "error", err)
		return settled
	}
	l.calibrations = nil
	for i, s := range rest {
		l.c.observer.Metered(cmp.Or(device, unknownDevice), s.Usage.Beyond(before[i]), false)
		settled = append(settled, wire.Work{Job: s.Job, Attempt: s.Attempt, Rank: s.Rank})
	}
	return settled
}

// settled reports whether all is recorded of a rank whose attempt is over. It has to be sure of
// that: a leader that was deposed without knowing may not have heard of the attempt yet.
func (m *Machine) settled(id job.NodeID, w wire.Work) bool {
	if r, ok := m.Record(w.Job); !ok || r.Attempt < w.Attempt {
		return false
	}
	u := &m.state.usage
	at := u.find(w.Job, w.Attempt)
	if at < 0 || w.Rank >= len(u.ended[at].Ranks) {
		return true // all ranks have said all, or it is forgotten
	}
	rank := u.ended[at].Ranks[w.Rank]
	return rank.Final || rank.Node != id
}

// said returns what is recorded of a rank whose attempt is over.
func (u *usageState) said(s settlement) job.Usage {
	at := u.find(s.Job, s.Attempt)
	if at < 0 || s.Rank >= len(u.ended[at].Ranks) {
		return s.Usage
	}
	return u.ended[at].Ranks[s.Rank].Usage
}

// running is what a job's live attempt has used, as its ranks have last said.
func (l *leader) running(r job.Record) (used job.Metered) {
	m := l.meters[r.ID]
	if m == nil || m.attempt != r.Attempt || r.State != job.Running {
		return used
	}

	for _, rank := range m.ranks {
		if rank.Usage != (job.Usage{}) {
			used = used.Charge(cmp.Or(rank.Device, unknownDevice), rank.Usage, false)
		}
	}
	return used
}

// Usage returns the rows of usage of days from one to another, both included and in UTC as
// 2006-01-02; "" for either: without that end. Rows of before all days that are known have none.
func (c *Core) Usage(from, to string) []UsageRow { return c.machine.state.usage.all(from, to) }
