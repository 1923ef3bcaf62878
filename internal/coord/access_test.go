package coord

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/rollout"
)

// by returns the context of an owner's request.
func by(owner string, scopes ...access.Scope) context.Context {
	return access.With(context.Background(), access.Principal{ID: owner, Scopes: scopes})
}

// TestJobsAreTheirOwners asks every method of jobs for another's.
func TestJobsAreTheirOwners(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	f := fake(t, c, "a")
	f.refuse = "not now"
	own, other, root := by("key_a"), by("key_b"), by("key_r", access.Admin)
	r := job.Request{Prompt: "x", Key: "same"}
	made, err := c.Create(own, r)
	if err != nil || made.Owner != "key_a" {
		t.Fatalf("%+v, %v", made, err)
	}
	theirs, err := c.Create(other, r)
	if err != nil || theirs.ID == made.ID || theirs.Owner != "key_b" {
		t.Fatalf("two owners with one key: %+v, %v", theirs, err)
	}
	if again, err := c.Create(own, r); err != nil || again.ID != made.ID {
		t.Errorf("a repeat made %s: %v", again.ID, err)
	}

	asks := map[string]func(context.Context) error{
		"get":     func(ctx context.Context) error { _, err := c.Get(ctx, made.ID); return err },
		"watch":   func(ctx context.Context) error { _, err := c.Watch(ctx, made.ID); return err },
		"preview": func(ctx context.Context) error { _, err := c.Preview(ctx, made.ID); return err },
		"cancel":  func(ctx context.Context) error { _, err := c.Cancel(ctx, made.ID); return err },
		"retry":   func(ctx context.Context) error { _, err := c.Retry(ctx, made.ID); return err },
		"delete":  func(ctx context.Context) error { return c.Delete(ctx, made.ID) },
		"list": func(ctx context.Context) error {
			_, err := c.List(ctx, ListOptions{After: made.ID})
			return err
		},
	}
	for name, ask := range asks {
		for who, ctx := range map[string]context.Context{"another": other, "everybody": by("")} {
			if err := ask(ctx); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s by %s: %v", name, who, err)
			}
		}
	}
	for _, l := range []struct {
		ctx  context.Context
		o    ListOptions
		jobs int
	}{{own, ListOptions{}, 1}, {other, ListOptions{}, 1}, {by(""), ListOptions{}, 0},
		{root, ListOptions{}, 2}, {root, ListOptions{Owner: "key_b"}, 1},
		{own, ListOptions{Owner: "key_b"}, 0}, {context.Background(), ListOptions{}, 2}} {
		p, err := c.List(l.ctx, l.o)
		if who, _ := access.From(l.ctx); err != nil || len(p.Jobs) != l.jobs {
			t.Errorf("%q lists %d jobs, want %d; %v", who.ID, len(p.Jobs), l.jobs, err)
		}
	}

	if _, err := c.Cancel(root, made.ID); err != nil {
		t.Errorf("an administrator cancels: %v", err)
	}
	if _, err := c.Get(own, made.ID); err != nil {
		t.Errorf("its owner: %v", err)
	}
	untilState(t, c, made.ID, job.Cancelled)
	if again, err := c.Retry(own, made.ID); err != nil || again.Owner != "key_a" {
		t.Errorf("%+v, %v", again, err)
	}
	if err := c.Delete(own, made.ID); err != nil {
		t.Errorf("its owner deletes: %v", err)
	}
}

// TestANameIsThatOfTheKeyThatWorks revokes a key and gives its name to another one, of another team.
func TestANameIsThatOfTheKeyThatWorks(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	ctx, scopes := context.Background(), access.Scopes{access.VideosRead}
	old, _, err := c.CreateKey(ctx, access.Key{Name: "ci", Team: "old", Scopes: scopes})
	if err == nil {
		_, err = c.ChangeKey(ctx, old.ID, KeyChange{Revoke: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := c.CreateKey(ctx, access.Key{Name: "ci", Team: "new", Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetRollout(ctx, rollout.Rule{Name: "lora", Keys: []string{"new"}}); err != nil {
		t.Fatal(err)
	}
	if v, err := c.MayUse(ctx, "lora", "ci"); err != nil || v.Owner != k.ID || !v.Allowed {
		t.Errorf("%+v, %v; want that %s may use it", v, err, k.ID)
	}
}

// TestKeysSurviveARestart creates keys, uses them, and starts again on the same data.
func TestKeysSurviveARestart(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	cfg := testConfig(dir)
	cfg.Admin = access.Key{ID: access.NewID(random), Name: "admin", Hash: access.HashText("first"),
		Scopes: access.Scopes{access.Admin}, Created: time.Unix(1e9, 0)}
	c := start(t, cfg)
	_, old, err := c.CreateKey(ctx, access.Key{Name: "n", Scopes: access.Scopes{access.VideosRead}})
	if err != nil {
		t.Fatal(err)
	}
	k, text, err := c.RotateKey(ctx, "n", time.Hour)
	if err != nil || text == old {
		t.Fatalf("%+v, %v", k, err)
	}
	if err := c.SetTeam(ctx, access.Team{Name: "t"}); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(time.Minute)
	for all := []access.Key(nil); len(all) < 2; time.Sleep(time.Millisecond) { // with a tick
		if all, err = c.Keys(ctx); err != nil || time.Now().After(end) {
			t.Fatalf("%d keys, %v", len(all), err)
		}
	}
	closed(t, c)

	c = start(t, cfg)
	for _, text := range []string{text, old} {
		if p, err := c.Admit(ctx, text); err != nil || p.ID != k.ID {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if _, err := c.Admit(ctx, "lt_nonsense"); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("nonsense: %v", err)
	}
	all, err := c.Keys(ctx)
	if err != nil || len(all) != 2 || all[1].LastUsed.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	if teams, err := c.Teams(ctx); err != nil || len(teams) != 1 {
		t.Errorf("%+v, %v", teams, err)
	}
	if k, err = c.ChangeKey(ctx, "n", KeyChange{Revoke: true}); err != nil || k.Revoked.IsZero() {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := c.Admit(ctx, text); !errors.Is(err, access.ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
}
