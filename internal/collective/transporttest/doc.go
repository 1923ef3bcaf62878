// Package transporttest is the conformance suite of every collective.Transport. Run holds a
// transport to the contract; RunFaulty does so for what must not depend on the network, while a
// Fault drops, doubles, reorders, delays and corrupts frames.
//
// What a message holds follows from its sender, receiver and tag, so that every receiver can check
// every byte without being told. A test opens a world of joined ranks and runs them at once;
// nothing sleeps, and only tests of silence wait for a timeout.
package transporttest
