// Package engine computes one rank's part of a clip: text, denoising, decoding, and on rank 0 the
// file. It knows ranks, which exchange values over a collective.Transport, and an object store; it
// knows nothing of coordinators, nor of the node that runs it, which it reaches through a Host.
//
// An Engine is a model loaded on a device. Engine.Run carries out an Assignment, which is one
// rank's part of one attempt.
package engine
