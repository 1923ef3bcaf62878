// Package controlplane puts real coordinators under the load of a cluster of many shards that
// compute nothing, and measures how they bear it: how long commands take to be acknowledged, what
// Raft's log grows by, what the leader needs of its machine, and how soon a lost shard or a lost
// leader is made up for.
//
// The coordinators are the real ones, as processes of their own or within this one: Raft on a disk,
// NATS, the HTTP API. A [shard] of this package is one by what it says: it registers, sends
// heartbeats, takes orders, reports steps, stores checkpoints and results, and repeats its last
// word as package shard does. In place of computing it waits for the time that a step is said to
// take. Ranks of one attempt meet in memory, so nothing is said here about the data plane.
//
// # Phases
//
// All shards register within the interval of one heartbeat. Clients then ask for clips at random
// times, until the cluster is as full as it is going to be; from there on the load is measured,
// with shards that die at even intervals. Then, as configured, the leader is killed, and all shards
// are killed and started again at once, while clients go on. In the end all clips that were
// promised have to have an end that a coordinator tells: what was acknowledged and is lost fails
// the run.
//
// # What is sent
//
// What a shard sends follows from the time of a step: a heartbeat twice a second, a report of
// progress three times a second, a checkpoint with each step, a preview every two seconds, two
// objects and a completion in the end. All but heartbeats are of rank 0 alone. Clients send what
// the CLI and SDKs do; one in four follows its clip by the stream of events, the others ask once a
// second. Beside them an operator drains a shard every two seconds and a web page lists clips.
//
// Objects are small here. In a real cluster their bytes are what loads disks and networks; how many
// there are is what loads whoever records them, and that is what is measured. Hosts and racks are
// names: all of it runs over the loopback of one machine.
//
// # What is measured
//
// An acknowledged command is timed where it was sent, from the request to the answer, with all
// repeats that it takes: a client that has to ask a second coordinator waits as long as a real one.
// Requests without an answer are counted apart, for they have no time. Percentiles are by the
// nearest rank over all samples of the phase. CPU time, memory and the growth of the log are the
// leader's own account in /metrics.
//
// What is measured includes the load generator, which shares the machine with what it loads: its
// own share of the cores is in the result. A thousand goroutines that wake at once delay each other
// by more than a coordinator does, so p99 on a machine of two cores is an upper bound.
//
// # Goroutines
//
// Each shard has one that registers and sends heartbeats, one for its rank while it has one, and
// one for a checkpoint that is being stored; NATS calls it on others with its orders. Each client
// has one. Arrivals, drains and lists have one each, and each coordinator one that waits for its
// end. What they know of each other is behind the locks of fleet, clients and samples.
package controlplane
