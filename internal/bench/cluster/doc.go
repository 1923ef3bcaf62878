// Package cluster runs clusters of processes on this machine that things can be done to: a shard or
// the leading coordinator is killed (SIGKILL, as the kernel does where memory is short), and
// started again, as a supervisor of services would. The processes are the genuine programs, so that
// what is measured is what operators have: nothing in them knows of it.
//
//	Config    which programs, how many of each
//	Cluster   a cluster that runs; its Disturb is that of a benchmark with faults
//	Remote    a cluster that somebody else runs, of which shards can be drained and nothing else
//
// Of several coordinators clients have one address, as behind a load balancer: connections go to
// whichever process accepts them.
package cluster
