package core

import (
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sched"
)

// A node can be silent (dropSilent), its process can be alive while a kernel never ends (it hangs),
// or the process may have forgotten its rank. The first two show in the node, the last one only in
// that no node says any more that it runs rank 0.

// hungFactor is how many times its slowest advance a rank may take for the next.
const hungFactor = 8

// trouble says why a running job cannot go on, with no reason if it can: a node of its plan is
// gone, hangs or was drained, or rank 0 is not at work on it any more. heard is until when all
// nodes were heard.
func (l *leader) trouble(r *job.Record, heard time.Time) job.Setback {
	p := l.progress[r.ID]
	ranks := len(r.Plan.Nodes)
	if p.Attempt == r.Attempt && (p.Stage == job.StageDecode || p.Stage == job.StageEncode) {
		ranks = min(ranks, max(p.Ranks, 1)) // the others have done their part
	}
	for rank, id := range r.Plan.Nodes[:ranks] {
		if b := l.nodeTrouble(r, rank, id, heard); b.Reason != "" {
			b.Reason += l.stage(r)
			return b
		}
	}

	// The other ranks need no sign of their own: rank 0 waits for them, and names one that is missing.
	n := l.nodes[r.Plan.Nodes[0]]
	seen, ok := l.rank0Seen[r.ID]
	if n == nil || !ok || heard.Sub(seen) <= l.c.cfg.Timing.LostAfter {
		return job.Setback{}
	}
	return job.Setback{Detection: heard.Sub(seen),
		Reason: fmt.Sprintf("node %s (rank 0) no longer works on it%s", n.reg.Name, l.stage(r))}
}

// nodeTrouble says what is wrong with the node of a rank.
func (l *leader) nodeTrouble(r *job.Record, rank int, id job.NodeID,
	heard time.Time) job.Setback {
	n := l.nodes[id]
	if n == nil {
		return l.absence(rank, id, heard)
	}
	if d, ok := l.c.machine.drains()[id]; ok && l.drainOver(d) {
		return job.Setback{Reason: fmt.Sprintf("node %s (rank %d) was drained, and its time was over",
			n.reg.Name, rank)}
	}

	at := n.beat.Computing
	if at == 0 || !n.working(r) { // nearly all of a thousand, at every tick
		return job.Setback{}
	}
	if limit := l.hungAfter(r); at > limit {
		l.blame(r.ID, id)
		return job.Setback{Detection: at, Reason: fmt.Sprintf(
			"node %s (rank %d) hangs: it has computed for %v without coming further, %v is allowed",
			n.reg.Name, rank, sched.Rounded(at), sched.Rounded(limit))}
	}
	return job.Setback{}
}

// absence says why the node of a rank is not there, with no reason if it may still come.
func (l *leader) absence(rank int, id job.NodeID, heard time.Time) job.Setback {
	d, gone := l.gone[id]
	switch {
	case gone:
		return job.Setback{Reason: fmt.Sprintf("node %s (rank %d) %s", d.name, rank, d.why),
			Detection: d.silent}
	case heard.After(l.graceUntil):
		return job.Setback{Detection: heard.Sub(l.since), Reason: fmt.Sprintf(
			"the coordinator restarted, and node %s (rank %d) did not come back", id, rank)}
	}
	return job.Setback{}
}

// hungAfter is how long a rank of a job may compute without coming further: several times what an
// advance has taken so far.
func (l *leader) hungAfter(r *job.Record) time.Duration {
	t := l.c.cfg.Timing
	if p := l.paces[r.ID]; p.Attempt == r.Attempt && p.Slowest > 0 {
		return max(t.HungAfter, hungFactor*p.Slowest)
	}
	return max(t.HungAfter, t.HungFirst)
}
