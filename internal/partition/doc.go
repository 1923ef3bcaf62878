// Package partition decides who computes what: tokens and heads per rank, and the mesh of a job by
// the bytes it would move. Pure functions; only the standard library.
package partition
