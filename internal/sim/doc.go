// Package sim runs whole clusters from one seed. The coordinators are real: their job machine,
// placement, leases and attempts are package core. Everything around them is modelled: shards, the
// network, consensus, the object store, and time, which is virtual.
//
// The network loses, delays and repeats messages and is cut. Stores fail, and what they hold
// decays. Machines crash, freeze and come back with work of an attempt that is over; leaders are
// deposed in the middle of a decision; clocks are set wrong; entries of the log are damaged. After
// some time the faults end, and then every job has to end, too.
//
// # Parts
//
//   - sim.go: the world: its clock, queue of events, random numbers and schedule of faults.
//   - raft.go: an ideal consensus of three members; surroundings.go: the core.World of each.
//   - node.go, work.go: shard processes, and a rank of an attempt on one.
//   - client.go: those who create, cancel and delete jobs and drain nodes.
//   - store.go: the object store.
//   - check.go: checkers, which look at every committed decision and at the end.
//   - mutant.go: bugs that can be planted, to show that the checkers find them.
//
// A run uses one goroutine and draws every choice from its seed, so the same seed always gives the
// same run. A [Failure] names the seed and ends with a trace. The method is the deterministic
// simulation of FoundationDB and TigerBeetle.
package sim
