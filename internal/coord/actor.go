package coord

import (
	"context"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// actor is the client of a context, as commands name it.
func actor(ctx context.Context) core.Actor {
	p, _ := access.From(ctx)
	o := access.OriginOf(ctx)
	return core.Actor{Owner: p.ID, Name: p.Name, Addr: o.Addr, Request: o.Request}
}

// owned returns a request as that of the client of a context.
func owned(ctx context.Context, r job.Request) job.Request {
	p, from := access.From(ctx)
	r.Owner, r.Team, r.Quota = p.ID, p.Team, p.Quota
	r.Admin = !from || p.Admin()
	return r
}
