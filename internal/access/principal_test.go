package access_test

import (
	"context"
	"testing"

	"github.com/longtake/longtake/internal/access"
)

func TestScopes(t *testing.T) {
	for _, c := range []struct {
		have access.Scopes
		want access.Scope
		ok   bool
	}{
		{nil, access.VideosRead, false},
		{access.Scopes{access.VideosRead}, access.VideosRead, true},
		{access.Scopes{access.VideosRead}, access.VideosWrite, false},
		{access.Scopes{access.Metrics, access.Admin}, access.NodesWrite, true},
	} {
		if got := c.have.Has(c.want); got != c.ok {
			t.Errorf("%s has %s: %v, want %v", c.have, c.want, got, c.ok)
		}
	}
}

func TestOwnersAndAdminsOwn(t *testing.T) {
	a := access.Principal{ID: "key_a", Scopes: access.Scopes{access.VideosWrite}}
	root := access.Principal{ID: "key_r", Scopes: access.Scopes{access.Admin}}
	if !a.Owns("key_a") || a.Owns("key_b") || a.Owns("") || !root.Owns("key_a") {
		t.Error("ownership is wrong")
	}
}

func TestContexts(t *testing.T) {
	ctx := context.Background()
	if _, ok := access.From(ctx); ok {
		t.Error("an empty context has a principal")
	}
	if o := access.OriginOf(ctx); o != (access.Origin{}) {
		t.Errorf("an empty context comes from %v", o)
	}
	ctx = access.WithOrigin(access.With(ctx, access.Principal{ID: "key_a"}),
		access.Origin{Addr: "10.0.0.1:5", Request: "req_1"})
	p, ok := access.From(ctx)
	if o := access.OriginOf(ctx); !ok || p.ID != "key_a" || o.Request != "req_1" {
		t.Errorf("got %v %v %v", p, ok, o)
	}
}
