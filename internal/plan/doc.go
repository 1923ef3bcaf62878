// Package plan works out, from a model's shape and a job's spec alone, how a clip is cut up: its
// timeline of windows, what a step has to carry, and the mesh of ranks that fits it. The scheduler
// asks it where a job could run, the API whether a request can run at all, and `longtake plan`
// prints its answers. It is pure: nothing here reads a clock, a file or a node.
package plan
