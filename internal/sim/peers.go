package sim

import (
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// at returns the work of the first n ranks, in their order, and whether all of them are in a stage:
// that of the others is left out. A rank that cannot be reached, whose device hangs, or that has
// ended is not there, whatever it was at before.
func (k *work) at(stage job.Stage, n int) (all []*work, complete bool) {
	complete = true
	for _, id := range k.plan.Nodes[:n] {
		n := k.n.w.find(id)
		if n == nil || !n.reachable() || n.hung || n.work == nil || n.work.over ||
			!n.work.is(k.plan.Job, k.plan.Attempt) || n.work.stage != stage {
			complete = false
			continue
		}
		all = append(all, n.work)
	}
	return all, complete
}

// watch looks for the peers of the rank, and fails it when one was silent for too long. Who is cut
// off itself blames the others; it is for the coordinators to see through that.
func (k *work) watch() {
	k.watching = false
	if !k.here() || k.over || k.stage == job.StageDecode {
		return
	}
	alone := false // some rank is missing
	for rank, id := range k.plan.Nodes {
		n := k.n.w.find(id)
		there := n != nil && n.reachable() && n.work != nil &&
			n.work.is(k.plan.Job, k.plan.Attempt) && !n.work.over

		switch {
		case there && !k.n.isCut || rank == k.rank:
			k.missing[rank] = time.Time{}
		case k.missing[rank].IsZero():
			k.missing[rank], alone = k.n.w.now, true
		case k.n.w.now.Sub(k.missing[rank]) > peerTimeout && !k.n.hung:
			k.fail(wire.Failure{Peer: rank, Reason: fmt.Sprintf("rank %d is silent", rank)})
			return
		default:
			alone = true
		}
	}
	if alone || k.n.w.day == nil || k.n.isCut {
		k.watching = true
		k.later(peerCheck, k.watch)
	}
}

// disturb has the ranks of a node's attempt look for each other, if it has one: something has
// become of the node that they may miss it for.
func (n *node) disturb() {
	if n.work != nil {
		n.work.disturb()
	}
}

// disturb has all ranks of the attempt look for each other, when it is next time to: each goes on
// with looks at the same times at which it would have looked all along.
func (k *work) disturb() {
	w := k.n.w
	if w.day == nil {
		return
	}
	for _, id := range k.plan.Nodes {
		n := w.find(id)
		if n == nil || n.work == nil || n.work.watching || !n.work.is(k.plan.Job, k.plan.Attempt) {
			continue
		}
		o := n.work
		o.watching = true
		o.later(peerCheck-w.now.Sub(o.began)%peerCheck, o.watch)
	}
}
