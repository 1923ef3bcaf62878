// Package collective moves activations between the ranks of one job: a Group offers AllToAll,
// AllGather and Barrier over a Transport, which delivers tagged messages between ranks.
//
// # Contract of every Transport
//
// A message is named by (sender, receiver, Tag); within one attempt a Tag is used once per pair.
// Send hands data over: the caller must not touch it afterwards, and it may reach a receiver in
// the same process by reference. Recv returns a buffer that belongs to the caller and is aligned
// to 8 bytes. Messages may be received in any order of tags. A peer that stays silent past the
// deadline gives a *PeerError that names its rank; nothing is lost, doubled or altered silently.
// Both may be called from several goroutines.
package collective
