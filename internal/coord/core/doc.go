// Package core is the coordinator without goroutines: the replicated machine, the memory of the
// leader, and all decisions. It has no lock, reads no clock of its own, and knows neither Raft nor
// NATS nor Prometheus, so that package coord and the simulation (internal/sim) drive the same code.
//
// # Parts
//
// A [Machine] is what Raft replicates: jobs, the model, drained nodes, objects to delete. It
// changes only by applying entries of the log, and equal logs give equal machines. A [Core] holds
// one machine and, between [Core.Lead] and [Core.Resign], the memory of the leader: registered
// nodes, progress, previews, who was heard when. That memory is not replicated; nodes fill it again
// within a heartbeat after a change of leader.
//
// # Who calls what
//
// A Core is not safe for concurrent use. One goroutine makes all calls, one after the other;
// package coord calls it the loop. There are three kinds of calls:
//
//   - Events: [Core.Handle] (a message of a node), [Core.Tick] (time has passed), [Core.Settle]
//     (look at the queue), [Core.Lead], [Core.Resign], and what clients change ([Core.Create],
//     [Core.Cancel], [Core.DrainNode], ...). They decide, and so may commit entries through
//     [World.Append].
//   - Entries: [Core.Apply], [Core.Restore], [Core.Snapshot]. World.Append of an entry does not
//     return before Apply was called for it, on the same goroutine, so these calls nest inside
//     events. They never commit.
//   - Reads: [Core.View], [Core.Nodes], [Core.Page], ... They change nothing and may nest inside
//     events as well: wherever an event commits, the memory is consistent.
//
// Nothing in a Core waits for the network or a disk, except for the commit inside World.Append.
// Orders to nodes, looks into the object store and questions to the majority end with a callback
// instead, which the World calls as an event of its own, once, whenever the answer is there. A Core
// ignores answers to questions of an earlier term.
package core
