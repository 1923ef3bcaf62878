// Package wire is what coordinators and shard nodes say to each other over the coordinators' NATS:
// subjects and JSON messages. Activations do not pass here.
//
// # From nodes, to whoever leads
//
// Register, Heartbeat, Goodbye, Saved, Kept, Preview, Completion and Failure are requests; while
// nobody leads they have no responder, and the node asks again. Report is published. A node that
// is told `register` in the answer to a heartbeat registers again, with the attempt it works on, so
// that a new leader learns of it; nothing else is lost with a leader, but the latest previews.
//
// A node is busy from the acknowledged start order until its rank has ended; on rank 0, and on a
// rank that failed, until the Completion or Failure was acknowledged, which it repeats until then
// (the coordinator takes a repeat for what it is). A node sends a heartbeat at once when its state
// changes, so that the next job need not wait for the next interval.
//
// # To nodes
//
// Start is a request to each rank's node; anything but an acknowledgement from every one fails the
// attempt. Stop is a request too, and the answers to heartbeats repeat it until the node has
// understood. Routes is published when the set of data-plane servers changes.
//
// Every message about a job carries its attempt. Who gets one of an attempt that is not the live
// one refuses it.
package wire
