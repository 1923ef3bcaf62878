// Package inproc lets ranks of one process send each other memory by reference, over whatever
// transport connects them with ranks elsewhere. It wraps that transport: in place of the data, a
// message carries a handle of 8 bytes, under which the receiver finds the data in a Handoff that
// both share. Deadlines, blame and the fencing of older attempts thus stay the transport's own.
//
// Ranks on GPUs of one machine use it. What they hand over may even refer to device memory, so that
// a matrix goes from GPU to GPU without the host.
package inproc
