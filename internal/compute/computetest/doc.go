// Package computetest is the conformance suite of compute.Device.
//
// Run draws shapes, layouts and values, computes every operation on the device and compares it with
// a slow float64 reference that shares no code with any device. It holds the device to the numeric
// contract as well: the bits of a row may depend neither on the other rows of the call nor on the
// number of threads.
package computetest
