// Package collective moves activations between the ranks of one attempt of a job. A [Transport]
// delivers tagged messages between ranks; a [Group] offers AllToAll and AllGather over it. The
// transports are in the packages below: nats between machines, mem within a process, and inproc,
// which hands over by reference where ranks of another transport share a process.
//
// # Contract of every Transport
//
// A message is named by (sender, receiver, Tag); within one attempt a Tag is used once per pair.
// Send hands data over: the caller must not touch it afterwards, and it may reach a receiver in
// the same process by reference. Recv returns a buffer that belongs to the caller, who may give it
// back by [Release], and is aligned to [Alignment] bytes. Messages may be received in any order of
// tags, whatever order they were sent in. Send and Recv may be called from several goroutines.
//
// Nothing is lost, doubled or altered silently. A peer that owes something and stays silent past
// the deadline fails the rank that waits with a *PeerError that names the peer. A rank that leaves
// tells the others which rank it blames, so that all of them name the same one.
//
// Package transporttest holds every transport to this contract.
package collective
