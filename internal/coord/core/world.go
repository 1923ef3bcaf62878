package core

import (
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// World is what surrounds a Core: a log that a majority holds, a network to the nodes, disks. Where
// a method takes a callback, it returns at once and calls back later as an event of its own (on the
// goroutine that makes all calls of the Core, never from within the method unless it says so).
type World interface {
	// Append commits an entry and returns what applying it gave. It returns when a majority has the
	// entry and this core has applied it (Core.Apply nests inside). The error wraps ErrNotLeader when
	// this coordinator does not lead any more; the entry may be committed all the same.
	Append(entry []byte) (job.Record, error)
	// Confirm asks a majority whether this coordinator still leads, and calls done with the answer,
	// perhaps from within. A leader that was deposed without knowing must not stop ranks of live
	// attempts, nor answer reads.
	Confirm(done func(leads bool))
	// Send delivers an order (wire.StartOrder, wire.Stop or, in locked clusters, wire.Probe) to a node
	// and calls done with why it was not acknowledged within limit; nil: it was. If the term ends
	// first, done may never be called.
	Send(node job.NodeID, order any, limit time.Duration, done func(error))
	// PublishRoutes tells all nodes which data-plane servers there are.
	PublishRoutes(wire.Routes) error
	// Deaf reports whether no node can be heard at present, because NATS is being restarted.
	Deaf() bool
	// Disk returns how much room there is for objects.
	Disk() Disk
	// Objects returns the store that nodes share; nil: it is not open yet.
	Objects() Objects
	// Speaks returns the newest version of commands that all coordinators of the cluster read, as far
	// as is known at present, and where that is not the newest that this one reads, what is missing.
	Speaks() (version int, missing string)
	// Random fills p with random bytes, for ids and seeds.
	Random(p []byte)
}

// Objects is the object store, as far as the leader needs it. Each done is called once; an error
// means that the store could not be asked.
type Objects interface {
	// Find tells which of some objects are not in the store (the first of them; nil: all are there).
	Find(want []job.Object, done func(missing *job.Object, err error))
	// List returns the names of all objects.
	List(done func(names []string, err error))
	// Put stores a small object.
	Put(data []byte, done func(err error))
	// Delete deletes objects and returns the names of those that are gone now.
	Delete(all []job.Object, done func(deleted []string))
}

// Disk is how much room there is for objects, in bytes.
type Disk struct {
	// Stage is how full the fullest disk of all coordinators is, and Why says so in one line.
	Stage Stage
	Why   string
	// Known is false until this coordinator has seen its disk; the next three are 0 then.
	Known bool
	// Most is what the store may ever hold, Now what it may hold at present, Held what it holds.
	Most, Now, Held int64
}

// Stage is how full a disk is.
type Stage int

const (
	// Roomy: everything is taken.
	Roomy Stage = iota
	// Full: no more jobs and checkpoints are taken. Finished clips are, since they let go of more.
	Full
	// Stuck: not even finished clips are taken.
	Stuck
)

// String implements fmt.Stringer.
func (s Stage) String() string { return [...]string{"room", "full", "stuck"}[s] }

// Observer hears what happens in a Core, for metrics and for clients that watch jobs. It is called
// in the midst of events: it may make reads of the Core, and must not make other calls.
type Observer interface {
	// JobChanged is called whenever the view of a job may be another one.
	JobChanged(id job.ID)
	// JobPlaced is called with how long a job had waited for its placement.
	JobPlaced(waited time.Duration)
	// JobEnded is called once this leader has made a job final.
	JobEnded(r job.Record)
	// AttemptLost is called with the job after the loss of its attempt.
	AttemptLost(r job.Record, b job.Setback)
	// CheckpointSaved is called with the job before and after a checkpoint was recorded.
	CheckpointSaved(before, after job.Record)
	// NodeGone is called when a node leaves the table, for whatever reason.
	NodeGone()
	// Metered is called with what a rank has used on a device of a kind, once it is recorded; charged:
	// a client pays for it.
	Metered(device string, u job.Usage, charged bool)
	// StaleMessage is called for a message of an attempt that is over.
	StaleMessage()
}

// Unobserved is an Observer that ignores everything.
type Unobserved struct{}

var _ Observer = Unobserved{}

// JobChanged implements Observer.
func (Unobserved) JobChanged(job.ID) {}

// JobPlaced implements Observer.
func (Unobserved) JobPlaced(time.Duration) {}

// JobEnded implements Observer.
func (Unobserved) JobEnded(job.Record) {}

// AttemptLost implements Observer.
func (Unobserved) AttemptLost(job.Record, job.Setback) {}

// CheckpointSaved implements Observer.
func (Unobserved) CheckpointSaved(_, _ job.Record) {}

// NodeGone implements Observer.
func (Unobserved) NodeGone() {}

// Metered implements Observer.
func (Unobserved) Metered(string, job.Usage, bool) {}

// StaleMessage implements Observer.
func (Unobserved) StaleMessage() {}
