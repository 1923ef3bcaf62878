// Package client speaks to the HTTP API of a coordinator. It links none of the server: a program
// that asks for clips needs no Raft and no NATS. A Client repeats what a coordinator that is away,
// or has no leader yet, did not answer; it follows redirects to the leader, and gives up on a
// server that is silent.
package client
