package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
)

// TestKeysThroughTheClient goes through the life of a key.
func TestKeysThroughTheClient(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	team, quota, in := "red", access.Quota{Queued: 3}, 3600.0
	scopes := access.Scopes{access.Metrics, access.VideosRead}
	k, err := c.CreateKey(t.Context(), schema.KeyChange{Name: "ci", Team: &team, Quota: &quota,
		Scopes: &scopes, ExpiresIn: &in})
	if err != nil || k.State != "active" || k.Scopes.String() != "videos:read,metrics" ||
		k.Quota.Queued != 3 || k.Team != team || k.Expires == 0 {
		t.Fatalf("%+v, %v", k, err)
	}
	if id, ok := access.ParseText(k.Text); !ok || id != k.ID {
		t.Errorf("%q is not the text of %s", k.Text, k.ID)
	}
	all, err := c.Keys(t.Context())
	if err != nil || len(all) != 1 || all[0].Name != "ci" || all[0].Text != "" {
		t.Errorf("%+v, %v", all, err)
	}
	if k, err = c.Key(t.Context(), "ci"); err != nil || k.Text != "" {
		t.Errorf("%+v, %v", k, err)
	}

	never := 0.0
	if _, err = c.ChangeKey(t.Context(), "ci", schema.KeyChange{ExpiresIn: &never}); err != nil ||
		!f.fakeKeys.last.Expires.IsZero() || f.fakeKeys.last.Scopes != nil {
		t.Errorf("%+v, %v", f.fakeKeys.last, err)
	}
	if k, err = c.RotateKey(t.Context(), "ci", time.Minute); err != nil || k.Text == "" ||
		f.fakeKeys.last.Overlap != time.Minute {
		t.Errorf("%+v, %+v, %v", k, f.fakeKeys.last, err)
	}
	if _, err = c.RevokeKey(t.Context(), "ci"); err != nil || !f.fakeKeys.last.Revoke {
		t.Errorf("%+v, %v", f.fakeKeys.last, err)
	}
	if _, err = c.Key(t.Context(), "none"); err == nil ||
		!strings.Contains(err.Error(), "not found") {
		t.Errorf("%v", err)
	}

	if made, err := c.SetTeam(t.Context(), "red", quota); err != nil || made.Quota.Queued != 3 {
		t.Errorf("%+v, %v", made, err)
	}
	if teams, err := c.Teams(t.Context()); err != nil || len(teams) != 1 || teams[0].Name != "red" {
		t.Errorf("%+v, %v", teams, err)
	}
	if err := c.RemoveTeam(t.Context(), "red"); err != nil || len(f.teams) != 0 {
		t.Errorf("%v, %v left", err, f.teams)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	f.add("a", access.Scopes{access.Admin})
	for _, q := range []struct{ path, body, says string }{
		{"/v1/keys", `{"name": "a b"}`, "name"},
		{"/v1/keys", `{}`, "name"},
		{"/v1/keys", ``, "name"},
		{"/v1/keys", `{"name": "x", "scopes": ["root"]}`, "scopes"},
		{"/v1/keys", `{"name": "x", "scopes": []}`, "scopes"},
		{"/v1/keys", `{"name": "x", "quota": {"queud": 1}}`, "queud"},
		{"/v1/keys", `{"name": "x", "quota": {"queued": -1}}`, "quota.queued"},
		{"/v1/keys", `{"name": "x", "expires_in": -1}`, "expires_in"},
		{"/v1/keys", `{"name": "x", "name": "y"}`, "name"},
		{"/v1/keys", `{"nam": "x"}`, "nam"},
		{"/v1/keys", `[]`, "object"},
		{"/v1/keys/a", `{"name": "b"}`, "names stay"},
		{"/v1/keys/a/rotate", `{"overlap": 1e9}`, "overlap"},
		{"/v1/teams/red", `{"quota": {"weight": 1e9}}`, "weight"},
		{"/v1/teams/-", `{}`, "team"},
	} {
		status, text, _ := do(t, c, "POST", q.path, "application/json", q.body)
		if status != http.StatusBadRequest || !strings.Contains(text, q.says) {
			t.Errorf("%s %s: %d %s", q.path, q.body, status, text)
		}
	}
	status, text, h := do(t, c, "POST", "/v1/keys/a/rotate", "", "")
	if status != 200 || h.Get("Cache-Control") != "no-store" ||
		f.fakeKeys.last.Overlap != 24*time.Hour {
		t.Errorf("%d %s %v %+v", status, text, h, f.fakeKeys.last)
	}
}

func TestKeysHaveStates(t *testing.T) {
	now := time.Unix(1e9, 0)
	for want, k := range map[string]access.Key{"active": {Expires: now.Add(1)},
		"expired": {Expires: now}, "revoked": {Revoked: now, Expires: now}} {
		if got := schema.KeyOf(k, now).State; got != want {
			t.Errorf("%+v is %s, want %s", k, got, want)
		}
	}
	if k := schema.KeyOf(access.Key{Until: now}, now); k.PreviousUntil != 0 {
		t.Errorf("%+v", k)
	}
}
