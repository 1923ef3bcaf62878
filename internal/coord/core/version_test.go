package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// versionOf returns the version that a snapshot of the machine says it is of.
func versionOf(t *testing.T, m *Machine) int {
	t.Helper()
	var s struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(snapshotOf(t, m), &s); err != nil {
		t.Fatal(err)
	}
	return s.V
}

// TestOldCoordinatorsReadWhatIsWritten upgrades a cluster: until all members read version 9, a
// machine of version 8 can apply all that is written, and takes no owners; then it is of version 9.
func TestOldCoordinatorsReadWhatIsWritten(t *testing.T) {
	w := &fakeWorld{t: t, speaks: VersionFirst}
	w.k = New(Config{ID: "c1"}, w, Unobserved{})
	old := NewMachine()
	old.most = VersionFirst
	w.applied = func(entry []byte) {
		if _, err := old.Apply(1, entry); old.stopped != nil {
			t.Fatalf("the older coordinator stops: %v", err)
		}
	}
	w.k.machine.state.models, old.state.models = job.Models{demo()}, job.Models{demo()}
	w.k.Lead()

	create := func() job.Record {
		t.Helper()
		var r job.Record
		w.k.As(Actor{Owner: "key_a"}, func() {
			w.k.Create(job.Request{Prompt: "x", Owner: "key_a", Team: "a"},
				func(got job.Record, err error) {
					if err != nil {
						t.Fatal(err)
					}
					r = got
				})
		})
		return r
	}
	if r := create(); r.Owner != "" || r.Team != "" {
		t.Errorf("a job of version 8 has owner %q", r.Owner)
	}
	if v := versionOf(t, w.k.machine); v != VersionFirst {
		t.Errorf("the snapshot is of version %d", v)
	}
	if !bytes.Equal(snapshotOf(t, w.k.machine), snapshotOf(t, old)) {
		t.Error("the coordinators disagree")
	}
	_, err := w.k.commit(command{Kind: kindVersion, Speaks: 9})
	if !errors.Is(err, ErrUpgrading) {
		t.Errorf("a command of version 9: %v", err)
	}

	w.speaks, w.applied = 0, nil
	w.tick()
	if v := w.k.machine.Version(); v != commandVersion {
		t.Fatalf("the cluster is of version %d", v)
	}
	if r := create(); r.Owner != "key_a" || r.Team != "a" {
		t.Errorf("owner %q, team %q", r.Owner, r.Team)
	}
	again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, w.k.machine)))
	if err != nil || again.Version() != commandVersion {
		t.Fatalf("version %d: %v", again.Version(), err)
	}
}

// TestKeysOfOwnersAreApart creates jobs of two owners under the same key.
func TestKeysOfOwnersAreApart(t *testing.T) {
	w := leads(t)
	w.k.machine.state.models = job.Models{demo()}
	create := func(owner string) (id job.ID) {
		t.Helper()
		r := job.Request{Prompt: "x", Key: "k", Owner: owner}
		w.k.Create(r, func(got job.Record, err error) {
			if err != nil {
				t.Fatal(err)
			}
			id = got.ID
		})
		return id
	}
	a, b, none := create("key_a"), create("key_b"), create("")
	if a == b || a == none || b == none {
		t.Errorf("jobs %s, %s, %s", a, b, none)
	}
	if create("key_a") != a || create("") != none {
		t.Error("a repeated request made another job")
	}
	if _, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, w.k.machine))); err != nil {
		t.Error(err)
	}

	// A key goes with its job, and with no other owner's.
	for _, c := range []command{{Kind: kindCancel, Job: a}, {Kind: kindDelete, Job: a}} {
		if _, err := w.k.commit(c); err != nil {
			t.Fatal(err)
		}
	}
	if again := create("key_a"); again == a || again == "" || create("key_b") != b ||
		create("") != none {
		t.Errorf("job %q was made under the key of %s, which was deleted", again, a)
	}
}
