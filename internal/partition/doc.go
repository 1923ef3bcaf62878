// Package partition decides who computes what: which tokens and heads a rank has, which windows of
// a long clip a group has, and which mesh of ranks moves the fewest bytes.
//
// A job's ranks form a mesh of three axes: groups of windows, the two branches of guidance, and the
// ranks that share a sequence (DeepSpeed Ulysses). Timeline cuts a clip into windows; Layout places
// them on a mesh; Choose picks the mesh; Bytes counts what its ranks send each other.
//
// Everything is a pure function of its arguments, so that every rank and the coordinator come to
// the same answer without a message. It imports only the standard library.
package partition
