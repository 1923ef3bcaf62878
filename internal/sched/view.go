package sched

import (
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

// View is everything that a round of decisions depends on, as the leader knows it at one moment.
// Decide only reads it. All times are of the leader's own clock, which nobody sets back.
type View struct {
	Now time.Time
	// Models are those that the cluster serves.
	Models job.Models

	// Nodes are the registered ones, ordered by name and then id, the draining ones among them. A
	// view that is Quiet may do without.
	Nodes []Node
	// Known remembers what follows from Nodes alone; nil: nothing is remembered.
	Known *Known
	// Draining names the nodes that get no new work, by id. Some of them may not be registered.
	Draining map[job.NodeID]string

	// Queued and Running are the jobs in these states, each in the order of creation.
	Queued  []Queued
	Running []Running
	// Taken are the nodes in the plans of Running, by the job; nil: as these say.
	Taken map[job.NodeID]job.ID
	// Ledger says who has had how much; nil: nobody has had anything. Owners and Teams are limits by
	// id; those that are not in there are not limited.
	Ledger        *Ledger
	Owners, Teams map[string]Limit

	Store Store

	// GraceUntil is when the nodes should have registered again after a change of leader. Until then
	// a job that takes as many nodes as there are waits for more of them.
	GraceUntil time.Time
	// LostAfter is the silence after which a node counts as lost, the longest retry backoff too.
	LostAfter time.Duration
	// YieldWithin is how long a preempted job may take to reach a step boundary.
	YieldWithin time.Duration
}

// Known is what follows from the nodes of a view and from Draining, and was asked for once. Views
// may share one that have the very same list of both, whatever nodes work on and how fast they are:
// as soon as nodes come or go, or one has other Models, LoRAs or DTypes, it has to be a new one.
type Known struct {
	at        map[job.NodeID]int // where nodes are in the list
	usable    []*Node            // those that are not draining
	usableFor map[string][]*Node // of these, by what jobs need
}

// node returns a node, nil if it is not registered.
func (s *scheduler) node(id job.NodeID) *Node {
	if s.Known.at == nil {
		s.Known.at = make(map[job.NodeID]int, len(s.Nodes))
		for i := range s.Nodes {
			s.Known.at[s.Nodes[i].ID] = i
		}
	}
	if i, ok := s.Known.at[id]; ok {
		return &s.Nodes[i]
	}
	return nil
}

// usableNodes are those that are not draining.
func (s *scheduler) usableNodes() []*Node {
	if s.Known.usable != nil {
		return s.Known.usable
	}

	usable := make([]*Node, 0, len(s.Nodes))
	for i := range s.Nodes {
		if n := &s.Nodes[i]; !s.drains(n.ID) {
			usable = append(usable, n)
		}
	}
	s.Known.usable = usable
	return usable
}

// Node is a registered shard process.
type Node struct {
	ID   job.NodeID
	Name string
	// Process is equal for shards of one process, which hand tensors over by reference.
	Process string
	// Host and Rack say where the process is, as it says itself; empty: not known, and no rack.
	Host, Rack string
	// Rates are what it reaches over its links, and Delays how long messages take there, rounded, as
	// far as that is measured or set.
	Rates  topology.Rates
	Delays topology.Delays
	// Formats are the clip formats that it can encode; empty: all of them.
	Formats []string
	// DTypes are the types of products that its device has.
	DTypes []string
	// Speed is in multiply-adds per second, measured while denoising; 0: not known.
	Speed float64
	// Rated is the speed as it was measured at the start; 0: not known.
	Rated float64
	// Memory is how many bytes a clip may take, with the weights of its model; 0: not known.
	Memory int64
	// Idle nodes have said that they work on nothing; Job is what the others work on.
	Idle bool
	Job  job.ID
	// Models names those that it may run jobs of, and Loaded those of them that are ready. To compute
	// with another one it loads that first, for which one that is ready may have to go. LoadTime is
	// how long that took the last time; 0: not known.
	Models, Loaded []string
	LoadTime       time.Duration
	// LoRAs are the SHA-256 of those files that it has registered.
	LoRAs []string
	// IdleSince is when it became idle; zero: not known, long ago.
	IdleSince time.Time
}

// has reports whether the node may run a job: it has the model, all LoRAs, and the type.
func (n *Node) has(s *job.Spec) bool {
	if len(s.LoRAs) == 0 {
		return slices.Contains(n.Models, s.Model) && job.HasDType(n.DTypes, s.DType)
	}
	lacks := func(sum string) bool { return !slices.Contains(n.LoRAs, sum) }
	return slices.Contains(n.Models, s.Model) && !slices.ContainsFunc(s.Needs(), lacks) &&
		job.HasDType(n.DTypes, s.DType)
}

// ready reports whether a model is loaded already.
func (n *Node) ready(model string) bool { return slices.Contains(n.Loaded, model) }

// writes reports whether the node can hold rank 0 of a job of this format, which encodes the clip.
func (n *Node) writes(format string) bool {
	return len(n.Formats) == 0 || slices.Contains(n.Formats, format)
}

// anyWrites reports whether one of the nodes can encode the format.
func anyWrites(nodes []*Node, format string) bool {
	return slices.ContainsFunc(nodes, func(n *Node) bool { return n.writes(format) })
}

// Queued is a job that waits to be placed.
type Queued struct {
	*job.Record
	// SinceLoss is how long ago its latest attempt was lost; very long if none was.
	SinceLoss time.Duration
	// Needs is how many bytes it may still store, at the most.
	Needs int64
	// Blamed are nodes on which an attempt went wrong; others are preferred.
	Blamed map[job.NodeID]bool
	// PassedSince is since when it lets jobs of another model go first; zero: it does not yet.
	PassedSince time.Time
	// Cost is the device time that it is predicted to take from here on.
	Cost time.Duration
}

// wanted is the number of nodes without which the job does not start; 0: it takes what there is. A
// job that has lost an attempt takes what there is too, since the lost node may not come back.
func (q *Queued) wanted() int {
	if q.Attempt > 0 {
		return 0
	}
	return max(q.Spec.Shards, q.Spec.Mesh.Size())
}

// retryBackoff is how long the job waits after attempts that made no progress, longer the more of
// them there were. Otherwise a node that has died but is not missed yet could use up all attempts.
func (q *Queued) retryBackoff(most time.Duration) time.Duration {
	lost, _ := q.Futile()
	if lost < 2 {
		return 0
	}
	return min(time.Duration(lost)*100*time.Millisecond, most)
}

// Running is a job with a live attempt.
type Running struct {
	*job.Record
	// Progress is rank 0's latest report; it may be of an earlier attempt.
	Progress job.Progress
	// Pace is measured from these reports; it may be of an earlier attempt, too.
	Pace Pace
	// Asked is when the job was first asked to yield; zero: it is not asked at present.
	Asked time.Time
	// Taken is the device time of the live attempt so far.
	Taken time.Duration
}

// yields reports whether the job will reach another step boundary, at which it could stop.
func (r *Running) yields() bool {
	p := r.Progress
	return !r.CancelRequested && (p.Attempt != r.Attempt || p.Stage == job.StageLoad ||
		p.Stage == job.StageText ||
		p.Stage == job.StageDenoise && p.Done+1 < p.Total)
}

// Store is the state of the object store that all nodes write to.
type Store struct {
	// Open is false until the leader has opened it.
	Open bool
	// Full says why no more is taken; empty: there is room.
	Full string
	// Room is how many bytes jobs that are placed now may store.
	Room int64
}
