package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/rollout"
)

func TestRolloutRoutes(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	ctx := t.Context()
	name := "model:Wan-AI/Wan2.2"
	r, err := c.SetRollout(ctx, name, schema.RolloutChange{Percent: 12.5, Keys: []string{"a"}})
	if err != nil || r.Name != name || r.Percent != 12.5 || !slices.Equal(r.Keys, []string{"a"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if l, err := c.Rollouts(ctx); err != nil || len(l.Data) != 1 ||
		!slices.Contains(l.Features, "lora") {
		t.Errorf("%+v, %v", l, err)
	}
	if r, err := c.Rollout(ctx, name, "a"); err != nil || r.Allowed == nil || !*r.Allowed ||
		r.Why == "" || r.Open {
		t.Errorf("%+v, %v", r, err)
	}
	if err := c.DeleteRollout(ctx, name); err != nil {
		t.Error(err)
	}
	if r, err := c.Rollout(ctx, name, ""); err != nil || !r.Open || r.Allowed != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if code, body, _ := do(t, c, "POST", "/v1/rollout/lora", "application/json",
		`{"percents":1}`); code != 400 || !strings.Contains(body, "percent, keys, deny") {
		t.Errorf("%d %s", code, body)
	}
}

// TestWhatIsNotRolledOut is a 403 that names the field and what would be allowed.
func TestWhatIsNotRolledOut(t *testing.T) {
	f := newFake()
	f.err = &rollout.Error{Name: "format:mp4", Field: "format", Who: rollout.Who{Name: "ann"},
		Why: "format:mp4 is denied to ann"}
	_, c := serve(t, f)
	code, body, _ := do(t, c, "POST", "/v1/videos", "application/json", `{"prompt":"x"}`)
	for _, want := range []string{`"code":"not_rolled_out"`, `"param":"format"`, "denied to ann",
		"allowed: "} {
		if code != http.StatusForbidden || !strings.Contains(body, want) {
			t.Errorf("%d %s lacks %s", code, body, want)
		}
	}
}

// TestVerdictsOfACoordinator asks a real one about keys, and about names that are none.
func TestVerdictsOfACoordinator(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := coord.Start(ctx, coord.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	k, _, err := c.CreateKey(ctx, access.Key{Name: "ann", Scopes: access.Scopes{access.VideosWrite}})
	if err != nil {
		t.Fatal(err)
	}
	rule := rollout.Rule{Name: "lora", Keys: []string{"ann"}}
	if _, err := c.SetRollout(ctx, rule); err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{"ann", k.ID} {
		if v, err := c.MayUse(ctx, "lora", owner); err != nil || !v.Allowed || v.Owner != k.ID {
			t.Errorf("%s: %+v, %v", owner, v, err)
		}
	}
	if v, err := c.MayUse(ctx, "lora", "oidc_1"); err != nil || v.Allowed || v.Rule == nil {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := c.MayUse(ctx, "preset", "oidc_1"); err != nil || !v.Allowed || v.Rule != nil {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := c.MayUse(ctx, "lora", "bob"); err == nil {
		t.Error("a key that is none has a verdict")
	}
	if _, err := c.MayUse(ctx, "frob", "ann"); err == nil {
		t.Error("a feature that is none has a verdict")
	}
}
