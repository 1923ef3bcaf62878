// Package access says who asks and what they may do: principals, their scopes and their quotas. It
// is pure: where keys come from and where they are kept is up to its callers.
//
// The API puts a principal into a request's context once it has checked a key; the coordinator
// reads it there. A context without one is the process itself, which may do everything.
//
// # Where principals come from
//
// A [Key] is replicated: its id owns jobs, its scopes and its quota are the principal's, and the
// SHA-256 of its text lets in who has the text. The holder of the local key of a machine's user is
// [Local], with all scopes. A token of an identity provider stands for a principal whose id is a
// hash of who issued it and for whom. Whoever has none of these is nobody, with the scopes that a
// setting allows: a principal without an id.
//
// # How a text becomes a principal
//
// [ParseText] finds the id of the key in its text, and [HashText] what is kept of the text;
// [Key.Admit] compares the two in a time that does not depend on them. What is wrong with a key is
// told only to who has its text: everybody else is told that it is not known.
//
// # Quotas
//
// A [Quota] is written as "queued=10,bytes=20GB" by people and as JSON by the API. Both go through
// one table of bounds, quotaFields, so that a new bound is a row there and a field of Quota. What
// the bounds mean is for the coordinator, which holds requests and jobs to them.
package access
