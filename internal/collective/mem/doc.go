// Package mem is the in-memory twin of the transports: ranks in one process hand slices over by
// reference, without copies, chunks or windows. NewWorld connects the ranks of one attempt, for
// tests; a Hub lets the shards of a process meet by job and attempt, as the nodes of a cluster do.
//
// A rank that has joined counts as alive however long it computes. One that has not joined, or that
// Silence has made look hung, has Options.PeerTimeout from the moment a call waits for it.
package mem
