// Package access says who asks and what they may do: principals, their scopes and their quotas. It
// is pure: where keys come from and where they are kept is up to its callers.
//
// The API puts a principal into a request's context once it has checked a key; the coordinator
// reads it there. A context without one is the process itself, which may do everything.
package access
