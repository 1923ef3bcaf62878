// Package disk knows how much room a file system has, and keeps some of it back for the moment when
// there is none: a file that is of no use but for the room that it gives when it is removed.
package disk
