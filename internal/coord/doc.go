// Package coord is the control plane: it holds the queue of jobs in Raft, knows the nodes from
// their heartbeats, places jobs on them and records how they end.
//
// A [Coordinator] embeds a NATS server, over which shards register and report (package wire) and
// whose JetStream keeps objects, and a Raft node, whose log keeps decisions: jobs, attempts, plans,
// results with their hashes, the model. What is decided, and why, is in package core, which knows
// neither; this package drives it.
//
// # Goroutines
//
// One goroutine, the loop (loop.go), touches the core, the watchers of jobs and the term as leader.
// All others hand it functions:
//
//   - NATS's callbacks, one goroutine for each subject, read messages and post events
//     (leadership.go).
//   - followLeadership follows Raft's leadership and posts ticks (leadership.go).
//   - Orders to nodes, looks into the object store and questions to the majority run on goroutines
//     of their own, which post what came of them (world.go).
//   - Raft's goroutine hands over committed entries, snapshots and restores, among the reads
//     (raftfsm.go).
//   - Clients call the methods of [Service] on goroutines of theirs. What changes something is an
//     event; what only looks is a read. Creations are prepared in a read and committed by the
//     client's goroutine, so that many of them share a write to the disk (clients.go).
//
// An event that commits an entry waits for Raft, and Raft waits for the loop to apply the entry. So
// the loop serves reads while an event waits: that is the reason for the two kinds. A lock around
// the machine would do as well for Raft, and was there before; but then what a decision has read
// may change under it, and every method has to say under which lock it runs.
//
// # The audit log
//
// What a client's request has led to is an entry of the audit log: the machine makes it as it
// applies the command, so that all coordinators have the same ones, and the loop hands it to the
// files (audit.go). Nothing waits for the disk there. It is a snapshot that waits, in Persist: once
// it is there, Raft lets go of the entries from which those of the audit could be made again. What
// was refused before it became a command is counted, and committed by the leader once a second;
// followers send it their counts with what they say of their disks.
//
// # Locks
//
// What is not in the loop has locks of its own: how full the disks are (space.go), the log on the
// disk (guard.go, spacious.go), the other members' answers (contact.go).
package coord
