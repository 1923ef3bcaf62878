// Package mem is the in-memory twin of the transports: ranks in one process hand slices over by
// reference. A World joins the ranks of one attempt; a Hub lets shards meet by job and attempt.
//
// A rank that has joined counts as alive however long it computes. One that has not joined, or has
// fallen silent (Silence), is given Options.PeerTimeout from the moment something is awaited.
package mem
