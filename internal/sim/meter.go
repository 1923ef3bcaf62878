package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// Metering is checked exactly here, where the real system is checked within a percent: every rank's
// time is known, and no clock differs. Messages are lost, doubled and late all the same, leaders
// change in the middle, and processes die with what they had not said yet.

// ledger is a second account of what ranks have used. It knows how long each rank really had its
// node, and reads from the log, by JSON names, what was recorded of it.
type ledger struct {
	w *world
	// used is how long a rank had its node, of those that are over; known is false where its process
	// ended without a word, so that less may have been recorded.
	used  map[wire.Work]time.Duration
	known map[wire.Work]bool
	// recorded is what the log says of each rank.
	recorded map[wire.Work]time.Duration
}

func newLedger(w *world) *ledger {
	return &ledger{w: w, used: map[wire.Work]time.Duration{}, known: map[wire.Work]bool{},
		recorded: map[wire.Work]time.Duration{}}
}

// meterEntry is what the ledger reads of a log entry.
type meterEntry struct {
	Ranks []struct {
		Usage struct {
			Time time.Duration `json:"device_ns"`
		} `json:"usage"`
	} `json:"ranks"`
}

// settleEntry is what ranks have said after their attempt was over.
type settleEntry struct {
	Job     job.ID      `json:"job"`
	Attempt job.Attempt `json:"attempt"`
	Rank    int         `json:"rank"`
	Usage   struct {
		Time time.Duration `json:"device_ns"`
	} `json:"usage"`
}

// usage is what the rank has used so far, or what it had when it computed no more.
func (k *work) usage() job.Usage {
	if !k.ended.IsZero() {
		return job.Usage{Time: max(1, k.ended.Sub(k.began))}
	}
	return job.Usage{Time: max(1, k.n.w.now.Sub(k.began))}
}

// over notes that a rank has left its node: its process says so until a leader has recorded it.
func (l *ledger) over(k *work) {
	u := k.usage()
	if _, twice := l.used[k.wire()]; !twice { // an order that was repeated very late starts it again
		l.used[k.wire()], l.known[k.wire()] = u.Time, true
	}
	k.n.ended = append(k.n.ended, wire.Ended{Work: k.wire(), Usage: u})
}

// died notes what a process had when it ended without a word.
func (l *ledger) died(n *node) {
	if k := n.work; k != nil {
		l.used[k.wire()] = max(l.used[k.wire()], k.usage().Time)
	}
	for _, e := range n.ended {
		l.known[e.Work] = false
	}
	n.ended = nil
}

// committed reads a decision. The first one that ends an attempt counts.
func (l *ledger) committed(e entry, before, after job.Record) {
	if e.Meter != nil && before.State == job.Running && after.State != job.Running {
		for rank, r := range e.Meter.Ranks {
			l.recorded[wire.Work{Job: e.Job, Attempt: e.Attempt, Rank: rank}] = r.Usage.Time
		}
	}

	// A settlement has the rank's sum and not the rest of it, so that one that is doubled does no
	// harm.
	for _, s := range e.Settle {
		w := wire.Work{Job: s.Job, Attempt: s.Attempt, Rank: s.Rank}
		if s.Usage.Time > l.recorded[w] {
			l.recorded[w] = s.Usage.Time
		}
	}
}

// settled reports whether no process has anything to say any more.
func (l *ledger) settled() bool {
	for _, n := range l.w.nodes {
		if len(n.ended) > 0 {
			return false
		}
	}
	return true
}

// last wants that each rank was recorded for as long as it had its node, for less only where its
// process died, and that the rows of usage come to the same.
func (l *ledger) last(k *core.Core) {
	sum := time.Duration(0)
	for _, w := range ranksOf(l.recorded) {
		t := l.recorded[w]
		sum += t

		// A process that dies may have said less than its ranks used, and never more.
		used, over := l.used[w]
		if over && t > used || l.known[w] && t != used {
			l.w.violated("metering", "rank %d of job %s attempt %d had its node for %v; recorded: %v",
				w.Rank, w.Job, w.Attempt, used, t)
		}
	}
	for _, w := range ranksOf(l.used) {
		used := l.used[w]
		if _, ok := l.recorded[w]; !ok && l.known[w] {
			l.w.violated("metering", "%v of rank %d of job %s attempt %d are not recorded", used, w.Rank,
				w.Job, w.Attempt)
		}
	}

	// What clients and operators see comes from the machine's own sums.
	rows := time.Duration(0)
	for _, r := range k.Usage("", "") {
		rows += r.Time()
	}
	if rows != sum {
		l.w.violated("metering", "the rows of usage come to %v, the log to %v", rows, sum)
	}
	own := map[job.ID]time.Duration{}
	for w, t := range l.recorded {
		own[w.Job] += t
	}
	for _, r := range k.Machine().Records(nil) {
		own := own[r.ID]
		if have := r.Usage.Charged() + r.Usage.Uncharged(); have != own {
			l.w.violated("metering", "job %s has used %v, the log says %v", r.ID, have, own)
		}
	}
}

// ranksOf returns the ranks of a map in order, so that a run reports the same one each time.
func ranksOf(m map[wire.Work]time.Duration) []wire.Work {
	return slices.SortedFunc(maps.Keys(m), func(a, b wire.Work) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Attempt, b.Attempt),
			cmp.Compare(a.Rank, b.Rank))
	})
}

// overcharge makes an attempt's first rank have used a second more.
func overcharge(c map[string]any) {
	m, ok := c["meter"].(map[string]any)
	if !ok {
		return
	}
	rank := m["ranks"].([]any)[0].(map[string]any)
	if u, ok := rank["usage"].(map[string]any); ok {
		n, err := u["device_ns"].(json.Number).Int64()
		if err != nil {
			panic(fmt.Sprintf("sim: %v", err))
		}
		u["device_ns"] = n + int64(time.Second)
	}
}
