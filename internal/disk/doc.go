// Package disk tells how much room a file system has, and keeps some of it back for the moment when
// there is none: a file that can be removed to make the room that Raft and deletions need.
package disk
