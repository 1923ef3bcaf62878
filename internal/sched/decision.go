package sched

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

// Action is what becomes of a job in this round.
type Action int

// The first three are for queued jobs, the others for running ones.
const (
	// Place starts the next attempt on Nodes.
	Place Action = iota
	// Wait leaves the job in the queue; Why tells clients what it waits for.
	Wait
	// Fail ends the job, since no mesh of any size fits it; Why says what does not fit.
	Fail
	// Keep lets the attempt go on; Why may tell clients why it stays on as many nodes as it has.
	Keep
	// Yield asks rank 0 to stop at the next step boundary. It is decided again every round for as
	// long as it holds; the leader takes the request back in the first round without it.
	Yield
	// Stop is a Yield whose time is over: the attempt ends in mid-step, at once.
	Stop
)

// Cause is why a running job gives its nodes up.
type Cause int

// Causes in the order in which they are considered; the first that applies counts.
const (
	// Drained: a node of the job gets no more work.
	Drained Cause = iota
	// Spent: its owner, or the team, has had all the device-seconds of the day.
	Spent
	// Preempted: a queued job of a higher priority takes the nodes.
	Preempted
	// Rebalanced: the nodes differ in speed, and the next attempt shares the windows accordingly.
	Rebalanced
	// Grown: more nodes are free, and the next attempt takes them.
	Grown
)

// Decision is what becomes of one job.
type Decision struct {
	// Job is the record in the view. Like Nodes it points there, so the view must not be changed for
	// as long as the decision is in use.
	Job    *job.Record
	Action Action
	// Why is for people: the reason of a Wait, a Fail, a Yield or a Stop.
	Why string
	// Cause is set with Yield and Stop.
	Cause Cause
	// Passed is set with a Wait for jobs of the same priority that go first because their model is
	// loaded. The leader notes since when, as the next round's PassedSince.
	Passed bool
	// Ahead is set with a Wait: how many of the other waiting jobs go first, as things stand. Those
	// that wait for a quota, or for nodes that do not exist, do not count.
	Ahead int

	// Mesh, Nodes and Shares are set with Place. Nodes[r] runs rank r. Shares are the speeds by which
	// the mesh's window groups share the windows; nil: evenly.
	Mesh   job.Mesh
	Nodes  []*Node
	Shares []float64
	// Where and Predicted are set with Place where the step's time on the nodes was predicted: the
	// hosts of the ranks, and what a step is to take there, for people.
	Where, Predicted string
	// Payer and Cost are set with Place: whom the leader charges with how much device time.
	Payer Payer
	Cost  time.Duration
}

// NeedsQueue reports whether the decision holds only if all placements before it succeed: jobs
// behind one that could not be committed wait, and running jobs are not moved for their sake.
func (d Decision) NeedsQueue() bool {
	switch d.Action {
	case Place, Fail, Stop:
		return true
	case Yield:
		return d.Cause == Preempted || d.Cause == Grown
	}
	return false
}
