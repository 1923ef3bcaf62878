package wire

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

// NodeState is what a node is doing.
type NodeState string

// States of a node.
const (
	Idle NodeState = "idle"
	Busy NodeState = "busy" // its rank runs, or a report of it is not acknowledged yet
)

// Registration introduces a node.
type Registration struct {
	Node       job.NodeID `json:"node"`  // new with every start of the process
	Name       string     `json:"name"`  // for people; need not be unique
	ProcessID  string     `json:"start"` // id of the process's start, the same for all its nodes
	Model      job.Model  `json:"model"`
	Device     string     `json:"device"`     // such as "cpu (AVX-512)"
	Arithmetic string     `json:"arithmetic"` // nodes of another one round differently
	Threads    int        `json:"threads"`
	// Speed is in multiplications and additions a second, as measured at the start; Memory is how many
	// bytes a clip may take. 0: not known.
	Speed        float64  `json:"speed,omitempty"`
	Memory       int64    `json:"memory,omitempty"`
	Route        string   `json:"route"`                  // its data-plane server; may be empty
	Capabilities []string `json:"capabilities,omitempty"` // formats, as "mp4"; none: all
	Version      string   `json:"version,omitempty"`      // of the program
	// Uptime of the process; one of another host's clock would say less.
	Uptime time.Duration `json:"uptime_ns,omitempty"`
	Work   Work          `json:"work,omitzero"` // what it works on already
}

// Work names the rank that a node works on; zero: none.
type Work struct {
	Job     job.ID      `json:"job,omitempty"`
	Attempt job.Attempt `json:"attempt,omitempty"`
	Rank    int         `json:"rank,omitempty"`
}

// Welcome answers a Registration.
type Welcome struct {
	Accepted  bool          `json:"accepted"`
	Reason    string        `json:"reason,omitempty"`      // of a refusal: one line
	Final     bool          `json:"final,omitempty"`       // asking again is no use
	Leader    string        `json:"leader,omitempty"`      // id of the coordinator
	Interval  time.Duration `json:"interval_ns,omitempty"` // between heartbeats
	LostAfter time.Duration `json:"lost_after_ns,omitempty"`
	Routes    []string      `json:"routes,omitempty"` // data-plane servers of the other nodes
	Stop      bool          `json:"stop,omitempty"`   // Work is of no use any more
}

// Heartbeat says that a node lives, and what it does.
type Heartbeat struct {
	Node  job.NodeID `json:"node"`
	State NodeState  `json:"state"`
	RSS   uint64     `json:"rss_bytes"`
	Work  Work       `json:"work,omitzero"`
	Stage job.Stage  `json:"stage,omitempty"`
	Step  int        `json:"step,omitempty"` // done in the stage
	// Computing is how long the rank has neither waited for a peer nor come a step further; 0 while
	// it waits.
	Computing time.Duration `json:"computing_ns,omitempty"`
	// Speed is what the node has measured of passes through the model that no other rank shared, in
	// operations per second; 0: nothing yet.
	Speed float64 `json:"speed,omitempty"`
}

// Pulse answers a Heartbeat. At most one of its first four flags is set.
type Pulse struct {
	Register bool `json:"register,omitempty"` // unknown here: register again
	Stop     bool `json:"stop,omitempty"`     // the attempt is not live: stop at once
	Cancel   bool `json:"cancel,omitempty"`   // stop at once: the job is cancelled
	Yield    bool `json:"yield,omitempty"`    // stop at the next step boundary with a checkpoint

	Full  bool `json:"full,omitempty"`  // store no checkpoints and parts for now
	Stuck bool `json:"stuck,omitempty"` // nor what the clip leaves behind
}

// Disk is a coordinator's word on its disk.
type Disk struct {
	ID     string `json:"id"`
	Stage  int    `json:"stage"`            // 0: there is room; 1, 2: as Full and Stuck of Pulse
	Reason string `json:"reason,omitempty"` // in words
}

// Goodbye takes a node out, before its process ends.
type Goodbye struct {
	Node job.NodeID `json:"node"`
}

// Leave asks that a node be drained: it gets no new work, and what it works on goes over to others
// at its next step boundary, at the latest when Within is over.
type Leave struct {
	Node   job.NodeID    `json:"node"`
	Within time.Duration `json:"within_ns"`
}

// Member is a rank's node, as the other ranks see it.
type Member struct {
	Node  job.NodeID `json:"node"`
	Name  string     `json:"name"`
	Route string     `json:"route"`
}

// StartOrder orders a node to run one rank of a plan.
type StartOrder struct {
	Plan    job.Plan `json:"plan"`
	Rank    int      `json:"rank"`
	Members []Member `json:"members"` // by rank
}

// Stop orders a node to stop an attempt.
type Stop struct {
	Job     job.ID      `json:"job"`
	Attempt job.Attempt `json:"attempt"`
	Cancel  bool        `json:"boundary"` // the job is cancelled: say when its rank has stopped
	Yield   bool        `json:"yield"`    // likewise, on rank 0, once a checkpoint is durable
	Reason  string      `json:"reason,omitempty"`
}

// Routes lists the data-plane servers of all nodes.
type Routes struct {
	Routes []string `json:"routes"`
}

// Report is rank 0's progress.
type Report struct {
	Node     job.NodeID   `json:"node"`
	Progress job.Progress `json:"progress"`
}

// Completion is rank 0's last word, after it stored the objects.
type Completion struct {
	Node    job.NodeID  `json:"node"`
	Job     job.ID      `json:"job"`
	Attempt job.Attempt `json:"attempt"`
	Result  job.Result  `json:"result"`
}

// Saved is rank 0's word that a checkpoint is stored.
type Saved struct {
	Node       job.NodeID     `json:"node"`
	Job        job.ID         `json:"job"`
	Attempt    job.Attempt    `json:"attempt"`
	Checkpoint job.Checkpoint `json:"checkpoint"`
}

// Kept is a rank's word that a part of the job is stored: later attempts need not make it again.
type Kept struct {
	Node    job.NodeID  `json:"node"`
	Job     job.ID      `json:"job"`
	Attempt job.Attempt `json:"attempt"`
	Rank    int         `json:"rank"`
	Name    string      `json:"name"`
	Object  job.Object  `json:"object"`
}

// Preview is rank 0's rough animation of the clip after some steps.
type Preview struct {
	Node    job.NodeID  `json:"node"`
	Job     job.ID      `json:"job"`
	Attempt job.Attempt `json:"attempt"`
	Step    int         `json:"step"`
	Data    []byte      `json:"data"` // animated WebP
}

// Failure is a rank's last word when it could not finish, or stopped because it was told to.
type Failure struct {
	Node      job.NodeID  `json:"node"`
	Job       job.ID      `json:"job"`
	Attempt   job.Attempt `json:"attempt"`
	Rank      int         `json:"rank"`
	Cancelled bool        `json:"cancelled,omitempty"` // stopped, as ordered
	Yielded   bool        `json:"yielded,omitempty"`   // stopped with a checkpoint, as ordered
	Peer      int         `json:"peer"`                // the rank it blames; -1: none
	Damaged   bool        `json:"damaged,omitempty"`   // the checkpoint could not be read
	Final     bool        `json:"final,omitempty"`     // another attempt would end alike
	Reason    string      `json:"reason"`
}

// Ack answers an order or a report.
type Ack struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // why not: one line
	Final  bool   `json:"final,omitempty"`  // sending it again is no use
}
