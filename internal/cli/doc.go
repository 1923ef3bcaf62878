// Package cli holds the commands of longtake and what the three programs share: exit codes,
// one-line errors, signals, configuration.
//
// Exit codes: 0 done, 1 failed, 2 the request was wrong, 130 interrupted.
package cli
