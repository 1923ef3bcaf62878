// Package sim runs whole clusters from one seed: the coordinators' real job machine, placement,
// leases and attempts (package core), with modelled shards, on virtual time, over a network that
// loses, delays, repeats and cuts, with stores that fail and rot. Machines crash, freeze and come
// back as zombies; leaders lose their office in the middle of a decision. Checkers look at every
// committed decision. What goes wrong is told with the seed and a trace, and a run of the same seed
// is the same run.
package sim
