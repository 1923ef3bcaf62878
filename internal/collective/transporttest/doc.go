// Package transporttest is the conformance suite of every collective.Transport: Run holds it to the
// contract, RunFaulty does the same while frames are lost, doubled, reordered, delayed and harmed.
package transporttest
