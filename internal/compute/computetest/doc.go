// Package computetest is the conformance suite of compute.Device.
//
// Run draws shapes, layouts and values, computes every operation on the device and compares it with
// a slow float64 reference that shares no code with any device. It also holds the device to the
// numeric contract: the bits of a row may depend neither on the other rows of the call nor on the
// number of threads.
//
// # Adding an operation
//
// Write a draw function that returns a trial: how to run the operation on some rows, what the
// reference says, and which row to poison. Add it to Run's table, and to that of notFinite. Where
// rows are not independent of each other, as in a convolution, write a test of the suite instead.
//
// # How failures read
//
// rapid shrinks a failing case and prints what it drew, seed included. "Element 7 is 1.25, want
// 1.5" counts over the dense result, [rows, cols]; "outside the result" means that an operation
// wrote between the rows of its destination, or before its first element.
package computetest
