// Package wire is what coordinators and shard nodes say to each other over the coordinators' NATS:
// the subjects, and the JSON messages on them. Activations travel elsewhere (package collective).
//
// # From nodes to the leader
//
// Registration, Heartbeat, Goodbye, Leave, Saved, Kept, Preview, Completion and Failure are
// requests. While no coordinator leads they have no responder, and the node asks again. Report is
// published without an answer. A node that is told to register, in the answer to a heartbeat, does
// so with the work that it does, so that a new leader learns of it. Nothing else is lost with a
// leader, except for the latest previews.
//
// A node is busy from the start order that it acknowledges until its rank has ended. Rank 0, and a
// rank that failed, stay busy until their Completion or Failure is acknowledged. They repeat it
// until then, and the leader takes a repeat for what it is. A node sends a heartbeat at once when
// its state changes, so that the next job need not wait for the next interval.
//
// # From the leader to nodes
//
// StartOrder is a request to the node of each rank; unless all of them acknowledge it, the attempt
// is lost. Stop is a request too, and the answers to heartbeats repeat it until the node has
// understood. Routes is published whenever the set of data-plane servers changes.
//
// Every message about a job names the attempt that it is about, and is refused if that attempt is
// not live any more.
//
// # In a locked cluster
//
// Subjects carry the identity of the node, the name in its certificate, and NATS lets nobody use
// those of others ([Said], [SubjectStart], [ShardSubjects]). A node id is of one identity ([Owns]),
// and what a message says of its node counts only where that is the identity of the subject. Nodes
// do not order each other: a Probe goes to the leader ([SubjectMeasure]), which passes it on.
package wire
