package access

import (
	"context"
	"slices"
	"strings"
)

// Scope is something that a principal may do.
type Scope string

// Scopes. Admin has all others in it, and other owners' jobs.
const (
	VideosRead  Scope = "videos:read"  // look at own jobs and download their clips
	VideosWrite Scope = "videos:write" // create, cancel and delete them
	NodesRead   Scope = "nodes:read"   // look at shards, models and coordinators
	NodesWrite  Scope = "nodes:write"  // drain shards and let them back in
	Metrics     Scope = "metrics"      // read /metrics
	Admin       Scope = "admin"        // everything
)

// AllScopes are all that there are, in the order in which they are shown.
var AllScopes = []Scope{VideosRead, VideosWrite, NodesRead, NodesWrite, Metrics, Admin}

// Scopes is a set of scopes.
type Scopes []Scope

// Has reports whether s is in the set, or Admin is.
func (l Scopes) Has(s Scope) bool {
	return slices.Contains(l, s) || slices.Contains(l, Admin)
}

// String lists the scopes, separated by commas.
func (l Scopes) String() string {
	names := make([]string, len(l))
	for i, s := range l {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}

// Principal is who asks.
type Principal struct {
	// ID owns jobs: that of a key, "oidc_" and a hash for a token of an identity provider, Local for
	// the user of this machine. "" is everybody, where access is open.
	ID string
	// Name is for people; Team is the group that shares a quota, "" for none.
	Name, Team string
	Scopes     Scopes
	Quota      Quota
}

// Local is the ID of whoever holds the local key of a coordinator.
const Local = "local"

// Admin reports whether the principal sees and changes what is others'.
func (p Principal) Admin() bool { return p.Scopes.Has(Admin) }

// Owns reports whether what owner has made is the principal's. Where access is open, what was made
// with the local key is everybody's, too: the command line sends that key by itself.
func (p Principal) Owns(owner string) bool {
	return p.Admin() || p.ID == owner || p.ID == "" && owner == Local
}

// Origin says where a request comes from, for logs and the audit.
type Origin struct {
	Addr    string // of the client, host:port
	Request string // the request's id
}

type principalKey struct{}

type originKey struct{}

// With returns a context of a principal's request.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the principal of a context; false where there is none, so that the process itself
// asks.
func From(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// WithOrigin returns a context of a request that comes from o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns where the request of a context comes from; zero if nobody has said.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}
