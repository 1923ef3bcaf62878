package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/rollout"
)

// TestRolloutsHold rolls a model and a feature out, and creates and retries jobs of those who may
// use them and of those who may not.
func TestRolloutsHold(t *testing.T) {
	w := leads(t)
	all := keepsAudit(w)
	w.join("n1")
	set := func(r rollout.Rule, want string) {
		t.Helper()
		w.k.As(ann, func() {
			if got, err := w.k.SetRollout(r); err != nil || got.Name != want {
				t.Errorf("%q is %q, %v", r.Name, got.Name, err)
			}
		})
	}
	create := func(r job.Request, want string) (id job.ID) {
		t.Helper()
		r.Prompt = "a ball"
		w.k.As(Actor{Owner: r.Owner, Name: "name of " + r.Owner}, func() {
			w.k.Create(r, func(rec job.Record, err error) {
				var e *rollout.Error
				if id = rec.ID; errors.As(err, &e) != (want != "") || e != nil && e.Name != want {
					t.Errorf("%+v: %v, want %q", r.Owner, err, want)
				}
			})
		})
		return id
	}
	set(rollout.Rule{Name: "demo", Keys: []string{"red", "name of key_b"}}, "model:demo")
	set(rollout.Rule{Name: "format:png", Percent: 100, Deny: []string{"key_b"}}, "format:png")
	create(job.Request{Owner: "key_a"}, "model:demo")
	create(job.Request{Owner: "key_a", Team: "red"}, "")
	create(job.Request{Owner: "key_a", Admin: true}, "")
	id := create(job.Request{Owner: "key_b", Key: "k"}, "")
	create(job.Request{Owner: "key_b", Format: "png"}, "format:png")
	if e := (*all)[len(*all)-1]; e.Action != "video.create" {
		t.Errorf("the last entry is %+v", e)
	}

	// What was made before stays, but is not made again; a repeated request has its clip.
	set(rollout.Rule{Name: "demo"}, "model:demo")
	create(job.Request{Owner: "key_b", Key: "k"}, "")
	if err := w.k.Cancel(id); err != nil {
		t.Fatal(err)
	}
	w.k.Retry(id, job.Request{Owner: "key_b"}, func(_ job.Record, err error) {
		var e *rollout.Error
		if !errors.As(err, &e) {
			t.Errorf("a retry: %v", err)
		}
	})
	again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, w.k.machine)))
	if err != nil || len(again.Rollouts()) != 2 {
		t.Errorf("a snapshot has %v, %v", again.Rollouts(), err)
	}
	if err := w.k.DeleteRollout("demo"); err != nil {
		t.Error(err)
	}
	create(job.Request{Owner: "key_a"}, "")
	if err := w.k.DeleteRollout("demo"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a rule that is gone: %v", err)
	}
	for _, e := range *all {
		if e.Action == "rollout.set" && (e.Outcome != audit.OK || e.Details["percent"] == "") {
			t.Errorf("a change is %+v", e)
		}
	}
}

// TestWrongRollouts gives commands and snapshots what no leader writes.
func TestWrongRollouts(t *testing.T) {
	w := leads(t)
	var field *job.FieldError
	for _, r := range []rollout.Rule{{Name: "frob"}, {Name: "lora", Percent: 101}} {
		if _, err := w.k.SetRollout(r); !errors.As(err, &field) ||
			!strings.Contains(err.Error(), "allowed: ") {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, ch := range []*rolloutChange{nil, {}, {Rule: &rollout.Rule{}}, {Gone: "lora"}} {
		b, err := command{Kind: kindRollout, Rollout: ch}.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(b); err == nil {
			t.Errorf("%+v is taken", ch)
		}
	}
	twice := []rollout.Rule{{Name: "lora"}, {Name: "lora"}}
	for _, rules := range [][]rollout.Rule{twice, {{}}, make([]rollout.Rule, rolloutsMost+1)} {
		b, _ := json.Marshal(Snapshot{Version: commandVersion, Rollouts: rules})
		if _, err := ReadSnapshot(bytes.NewReader(b)); !errors.As(err, &field) {
			t.Errorf("a snapshot with %d rules: %v", len(rules), err)
		}
	}
}
