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
//   - sim.go: the world: its clock, random numbers and schedule of faults; events.go: its queue.
//   - raft.go: an ideal consensus of three members; surroundings.go: the core.World of each.
//   - node.go, work.go, peers.go: shard processes, and a rank of an attempt on one.
//   - client.go: those who create, cancel and delete jobs and drain nodes.
//   - store.go: the object store.
//   - check.go: checkers, which look at every committed decision and at the end.
//   - mutant.go: bugs that can be planted, to show that the checkers find them.
//   - setup.go, day.go, quiet.go, clip.go, report.go: days of given clusters, of any size.
//
// # Days
//
// [Run] is a short run in which everything fails that can. [Simulate] is a day of a cluster that a
// [Setup] describes, with the same parts and checkers: only what the setup says goes wrong, and it
// says what ranks take. A day tells how long jobs wait, where device time goes and how much the
// coordinators have to do; it does not tell how long they take for it, since neither their disks
// nor their processors are modelled: an entry is committed the moment it is appended.
//
// Three things keep a day of a thousand devices short. Heartbeats that say nothing new are no
// events (quiet.go). Ranks look for their peers only while one is missing (peers.go). Followers
// begin with a snapshot when they are needed, in place of applying all entries (day.go). None of
// them changes a decision, which a test holds by running one day both ways.
//
// A run uses one goroutine and draws every choice from its seed, so the same seed always gives the
// same run. A [Failure] names the seed and ends with a trace. The method is the deterministic
// simulation of FoundationDB and TigerBeetle.
package sim
