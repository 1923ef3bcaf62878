// Package cli holds the commands of longtake. A command reads its flags, asks a coordinator through
// package client, or starts a cluster of its own with package local, and prints the result.
//
// # How a command is built
//
// A function such as jobStatus returns a *cobra.Command; Longtake puts them together. Flags come
// from three places: the settings of package config (--coordinator, --shards), which may also stand
// in the environment; the fields of a request (job.Fields), which defineFields turns into flags;
// and what a command alone has (--watch). A command that prints has --json, which prints the API's
// own objects.
//
// # Errors
//
// What is wrong with a request is one line, "--steps is 0; allowed: 1 to 1000", and exit code 2:
// daemon.Usagef marks such errors, and inFlags words those of the API, which name fields, as ones
// about flags. Everything else is exit code 1. Commands check what they can before they start what
// takes long: paths that cannot be written to, flags that do not go together, a clip that no mesh
// fits.
//
// # Output
//
// Results go to stdout; progress, notices and errors to stderr. All of it goes through package
// terminal, which makes harmless whatever control characters a server or a file sends.
//
// Exit codes: 0 done, 1 failed, 2 the request was wrong, 3 it fits no device (plan), 130
// interrupted.
//
// # Interruptions
//
// Ctrl-C ends the context of a command, and with it the request or the wait under way. A command
// that has started something for its user alone takes it back: generate cancels its job and stops
// its cluster. One that has asked a cluster for a change does not: a drain goes on, and says so.
// Files appear under their names only when they are complete, so an interruption leaves none behind
// that looks like a result.
package cli
