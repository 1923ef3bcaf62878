package core

import "errors"

// Errors that clients are told; package coord documents which call returns which.
var (
	ErrNotFound  = errors.New("not found")
	ErrNoModel   = errors.New("no shard has registered yet, so no model is known; start one")
	ErrQueueFull = errors.New("the queue is full")
	ErrKeyReused = errors.New("this key was used for another request")
	ErrNotLeader = errors.New("this coordinator is not the leader")
	ErrNoSpace   = errors.New("there is no room for more")
	ErrDamaged   = errors.New("the object store has damaged bytes for it")
	// ErrUpgrading: some coordinators are of a version that does not know what was asked for.
	ErrUpgrading = errors.New("the coordinators are being upgraded")
)

// ErrForeign is why a message is refused: who sends it does not own the node that it is said to be
// of.
var ErrForeign = errors.New("it is not a node of that identity")

// ErrCorrupt is why an entry of the log or a snapshot cannot be what was written.
var ErrCorrupt = errors.New("it is damaged")
