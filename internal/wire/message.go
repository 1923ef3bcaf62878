package wire

import (
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

// NodeState is what a node is doing.
type NodeState string

// States of a node.
const (
	Idle NodeState = "idle" // free for a start order
	Busy NodeState = "busy" // its rank runs, or the report of its end is not acknowledged yet
)

// Work names a rank of one attempt of a job; the zero value names none. The messages that a rank
// sends embed it, so that the leader can refuse those of an attempt that is not live any more.
type Work struct {
	Job     job.ID      `json:"job,omitempty"`
	Attempt job.Attempt `json:"attempt,omitempty"`
	Rank    int         `json:"rank,omitempty"`
}

// Registration introduces a node. It is sent again to every new leader.
type Registration struct {
	// Node is the id, a new one at every start; Name is for people and need not be unique.
	Node job.NodeID `json:"node"`
	Name string     `json:"name"`
	// ProcessID is drawn at the start of the process, and the same for all nodes in it.
	ProcessID string `json:"start"`
	// Model is the node's first one, and More are the others that it has. A cluster takes one model of
	// each name; nodes that have it agree in its fingerprint.
	Model job.Model   `json:"model"`
	More  []job.Model `json:"more_models,omitempty"`
	// Loaded names the models that are ready to compute, the latest first. Broken says of others that
	// the node has and cannot use why, one line each.
	Loaded []string `json:"loaded,omitempty"`
	Broken []string `json:"broken_models,omitempty"`
	// Device is the hardware, for people, such as "cpu (AVX-512)".
	Device string `json:"device"`
	// Arithmetic names how the device rounds. Nodes of different arithmetic compute different bits,
	// so a cluster takes only one kind.
	Arithmetic string `json:"arithmetic"`
	// Threads is how many CPU threads a rank uses.
	Threads int `json:"threads"`
	// Speed is in multiply-adds per second, as measured at the start; 0: not known.
	Speed float64 `json:"speed,omitempty"`
	// Memory is how many bytes a clip may take on the node, with the weights; 0: not known.
	Memory int64 `json:"memory,omitempty"`
	// Host and Rack are where the process is: labels, equal for nodes that share one; empty: it does
	// not say, and no rack. Rates are what its links are set to carry, Delays how long messages take
	// on them, as set.
	Host   string          `json:"host,omitempty"`
	Rack   string          `json:"rack,omitempty"`
	Rates  topology.Rates  `json:"rates,omitzero"`
	Delays topology.Delays `json:"delays,omitzero"`
	// Echoes is whether it sends and answers small messages where a measurement begins with them;
	// older nodes do not.
	Echoes bool `json:"echoes,omitempty"`
	// Route is the URL of the node's data-plane server; empty: it has none.
	Route string `json:"route"`
	// Capabilities are the formats that the node can encode, such as "mp4"; empty: all.
	Capabilities []string `json:"capabilities,omitempty"`
	// DTypes are the types of products that its device has; empty, from nodes that are older than
	// this: fp32 and bf16.
	DTypes []string `json:"dtypes,omitempty"`
	// Version is of the program.
	Version string `json:"version,omitempty"`
	// Uptime is of the process. A time of day would be by another host's clock.
	Uptime time.Duration `json:"uptime_ns,omitempty"`
	// Work is what the node already works on when it registers with a new leader.
	Work Work `json:"work,omitzero"`
}

// Models are all that the node has, in its order.
func (r Registration) Models() job.Models { return append(job.Models{r.Model}, r.More...) }

// Welcome answers a Registration.
type Welcome struct {
	Accepted bool `json:"accepted"`
	// Reason says in one line why the node is refused; Final: it need not ask again.
	Reason string `json:"reason,omitempty"`
	Final  bool   `json:"final,omitempty"`
	// Refused says of models of the node that it gets no jobs of them, and why, one line each.
	Refused []string `json:"refused_models,omitempty"`
	// Leader is the id of the coordinator that answers.
	Leader string `json:"leader,omitempty"`
	// Interval is the time between heartbeats; LostAfter is the silence after which a node is lost.
	Interval  time.Duration `json:"interval_ns,omitempty"`
	LostAfter time.Duration `json:"lost_after_ns,omitempty"`
	// Routes are the data-plane servers of the other nodes.
	Routes []string `json:"routes,omitempty"`
	// Stop: the attempt that the node works on is not live any more.
	Stop bool `json:"stop,omitempty"`
}

// Heartbeat says that a node lives, and what it does. A node sends one every Interval, and at once
// when its state changes.
type Heartbeat struct {
	Node  job.NodeID `json:"node"`
	State NodeState  `json:"state"`
	// RSS is the resident memory of the process, in bytes.
	RSS uint64 `json:"rss_bytes"`
	// Sent is what the node's ranks have sent to others since its start.
	Sent collective.Traffic `json:"sent,omitzero"`
	Work Work               `json:"work,omitzero"`
	// Stage is where the rank is; Step is how many steps or frames of the stage it has done.
	Stage job.Stage `json:"stage,omitempty"`
	Step  int       `json:"step,omitempty"`
	// Computing is how long the rank has computed without finishing a step; 0 while it waits for a
	// peer. A rank that computes for far too long hangs.
	Computing time.Duration `json:"computing_ns,omitempty"`
	// Speed is in multiply-adds per second, as measured on passes through the model that no other
	// rank shared; 0: none yet.
	Speed float64 `json:"speed,omitempty"`
	// Loaded names the models that are ready to compute, the latest first; Loading is the one that is
	// being loaded. LoadTime is how long the latest took; 0: none was loaded yet.
	Loaded   []string      `json:"loaded,omitempty"`
	Loading  string        `json:"loading,omitempty"`
	LoadTime time.Duration `json:"load_ns,omitempty"`
	// Rates are what its links carry, and Delays how long messages take on them, as set or measured.
	Rates  topology.Rates  `json:"rates,omitzero"`
	Delays topology.Delays `json:"delays,omitzero"`
	// Usage is what the rank at work has used so far. Ended are ranks of which no leader has said yet
	// that it has settled them. Metered is the device time of all ranks since the node's start.
	Usage   job.Usage     `json:"usage,omitzero"`
	Ended   []Ended       `json:"ended,omitempty"`
	Metered time.Duration `json:"metered_ns,omitempty"`
}

// Ended is a rank that is over, and all that it has used.
type Ended struct {
	Work
	Usage job.Usage `json:"usage"`
}

// Pulse answers a Heartbeat. At most one of its first four flags is set.
type Pulse struct {
	Register bool `json:"register,omitempty"` // the leader does not know the node: register again
	Stop     bool `json:"stop,omitempty"`     // the attempt is not live: stop at once
	Cancel   bool `json:"cancel,omitempty"`   // the job is cancelled: stop at once, and say so
	Yield    bool `json:"yield,omitempty"`    // stop at the next step boundary, with a checkpoint

	Full  bool `json:"full,omitempty"`  // the disks are full: store no checkpoints and parts
	Stuck bool `json:"stuck,omitempty"` // nor the finished clip

	// Probe asks an idle node to measure what its link to another one carries; nil: nothing.
	Probe *Peer `json:"probe,omitempty"`
	// Settled are ranks that have ended whose usage is recorded: they need not be told again.
	Settled []Work `json:"settled,omitempty"`
}

// Peer is another node, and what lies between.
type Peer struct {
	Node  job.NodeID     `json:"node"`
	Class topology.Class `json:"class"`
	// Key is what the measurement is sealed with, as of an attempt.
	Key collective.Key `json:"key,omitzero"`
	// Echoes is whether small messages come first, since both nodes know of them.
	Echoes bool `json:"echoes,omitempty"`
}

// Probe asks a node to take part in measuring the link to it: as rank 1 of an attempt of that
// number of a job that is named after the node which asks.
type Probe struct {
	Node   job.NodeID     `json:"node"`
	Number uint32         `json:"number"`
	Class  topology.Class `json:"class"`
	// Key is what the leader gave the node that asks, and Echoes is what it said.
	Key    collective.Key `json:"key,omitzero"`
	Echoes bool           `json:"echoes,omitempty"`
	// To is the other node, where the leader is asked to pass it on; empty: it goes there directly.
	To job.NodeID `json:"to,omitempty"`
}

// Disk tells the leader how full the disk of another coordinator is.
type Disk struct {
	// ID is the coordinator's.
	ID string `json:"id"`
	// Stage is 0 for enough room, 1 and 2 for Full and Stuck of a Pulse.
	Stage int `json:"stage"`
	// Reason is for people; empty with Stage 0.
	Reason string `json:"reason,omitempty"`
	// Commands is the newest version of Raft's commands that the coordinator reads, and Version is of
	// its program; 0 and empty, from older ones: not said.
	Commands int    `json:"commands,omitempty"`
	Version  string `json:"version,omitempty"`
	// Refused is what the coordinator has refused since it last said so, for the audit log.
	Refused []Refusal `json:"refused,omitempty"`
}

// Refusal says how often a request was refused to a client, and why.
type Refusal struct {
	Owner  string `json:"owner,omitempty"` // of the key, if it had one
	Name   string `json:"name,omitempty"`
	Addr   string `json:"addr,omitempty"`
	Action string `json:"action"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// Goodbye takes a node out, just before its process ends.
type Goodbye struct {
	Node job.NodeID `json:"node"`
	// Ended and Metered are the last word of what Heartbeats say.
	Ended   []Ended       `json:"ended,omitempty"`
	Metered time.Duration `json:"metered_ns,omitempty"`
}

// Leave asks that a node be drained. It gets no new work, and its job moves to other nodes at the
// next step boundary, or in mid-step once Within has passed.
type Leave struct {
	Node   job.NodeID    `json:"node"`
	Within time.Duration `json:"within_ns"`
}

// Member is a rank's node, as the other ranks see it.
type Member struct {
	Node job.NodeID `json:"node"`
	Name string     `json:"name"`
	// Route is the URL of its data-plane server; empty: it has none.
	Route string `json:"route"`
	// Identity is the name in its certificate; empty in an open cluster.
	Identity string `json:"identity,omitempty"`
}

// StartOrder orders a node to run one rank of a plan.
type StartOrder struct {
	Plan job.Plan `json:"plan"`
	Rank int      `json:"rank"`
	// Members are all ranks of the plan, in order.
	Members []Member `json:"members"`
	// Key is what the ranks seal all with that they send each other: the same in all orders of the
	// attempt, and nowhere else. None in a cluster without certificates.
	Key collective.Key `json:"key,omitzero"`
}

// Stop orders a node to stop its rank of an attempt: at once, unless Yield is set.
type Stop struct {
	Job     job.ID      `json:"job"`
	Attempt job.Attempt `json:"attempt"`
	// Cancel: the job is cancelled, and the leader waits for a rank to say that it has stopped. Its
	// JSON name is from when a cancelled rank went on to the next step boundary, and stays so that
	// nodes and coordinators of different versions understand each other.
	Cancel bool `json:"boundary"`
	// Yield is for rank 0: stop all ranks at the next boundary whose checkpoint is stored.
	Yield bool `json:"yield"`
	// Reason is for the node's log.
	Reason string `json:"reason,omitempty"`
}

// Routes lists the data-plane servers of all nodes.
type Routes struct {
	Routes []string `json:"routes"`
}

// Report is the progress of an attempt, from rank 0.
type Report struct {
	Node     job.NodeID   `json:"node"`
	Progress job.Progress `json:"progress"`
}

// Completion says that the clip is made and its objects are stored. Rank 0 sends it last.
type Completion struct {
	Node job.NodeID `json:"node"`
	Work
	Result job.Result `json:"result"`
	// Usage is all that the rank has used.
	Usage job.Usage `json:"usage,omitzero"`
}

// Saved says that a checkpoint is stored. Rank 0 sends it; once it is acknowledged, a later attempt
// begins there.
type Saved struct {
	Node job.NodeID `json:"node"`
	Work
	Checkpoint job.Checkpoint `json:"checkpoint"`
}

// Kept says that a part of the job is stored, so that later attempts need not make it again. Any
// rank may send it.
type Kept struct {
	Node job.NodeID `json:"node"`
	Work
	// Name is one that job.CheckPart allows.
	Name   string     `json:"name"`
	Object job.Object `json:"object"`
}

// Preview is a rough animation of the clip after some steps, from rank 0.
type Preview struct {
	Node job.NodeID `json:"node"`
	Work
	// Step counts the denoising steps done, from 1.
	Step int `json:"step"`
	// Data is an animated WebP of up to PreviewLimit bytes.
	Data []byte `json:"data"`
}

// Failure says why a rank could not finish, or that it stopped because it was told to. It is the
// last message of the rank.
type Failure struct {
	Node job.NodeID `json:"node"`
	Work
	// Cancelled and Yielded: the rank stopped as ordered, the latter with a checkpoint.
	Cancelled bool `json:"cancelled,omitempty"`
	Yielded   bool `json:"yielded,omitempty"`
	// Peer is the rank that did not answer this one; -1: none is to blame.
	Peer int `json:"peer"`
	// Damaged: the checkpoint could not be read, so the one before it counts.
	Damaged bool `json:"damaged,omitempty"`
	// Final: every other attempt would fail in the same way, so the job does.
	Final bool `json:"final,omitempty"`
	// Reason is one line for people.
	Reason string `json:"reason"`
	// Usage is what the rank has used.
	Usage job.Usage `json:"usage,omitzero"`
}

// Ack answers an order or a report.
type Ack struct {
	OK bool `json:"ok"`
	// Reason says in one line why the message is refused; Final: it need not be sent again.
	Reason string `json:"reason,omitempty"`
	Final  bool   `json:"final,omitempty"`
}
