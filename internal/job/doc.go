// Package job is the life of one clip: what was asked for, its states, and the machine that moves
// it from one to the next. It is pure: no clock, no I/O, only the standard library, so that the
// replicated state machine and the simulator run the very same code.
package job
