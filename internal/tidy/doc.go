// Package tidy holds no code, only tests of the source tree itself: who may import whom, how long a
// function may be, what must be documented, and which words have no place here.
package tidy
