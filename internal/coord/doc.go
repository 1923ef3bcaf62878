// Package coord is the control plane: it holds the queue of jobs in Raft, knows the nodes from
// their heartbeats, places jobs on them and records how they end.
//
// A Coordinator embeds a NATS server, over which shards register and report (package wire) and
// whose JetStream keeps objects, and a Raft node, whose log keeps decisions: jobs, attempts, plans,
// results with their hashes, the model. Progress and the table of nodes live in the leader's memory
// only; a new leader learns them from the nodes.
//
// All of the leader's work happens in one goroutine (leader.go), which takes events and is the only
// writer of its state; the methods of Service ask it or read the replicated state.
package coord
