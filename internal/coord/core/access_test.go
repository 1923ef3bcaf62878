package core

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
)

// testKey is a key by a letter of its id.
func testKey(letter string, edit ...func(*access.Key)) access.Key {
	k := access.Key{ID: access.IDPrefix + strings.Repeat(letter, 16), Name: "key-" + letter,
		Scopes: access.Scopes{access.VideosRead}, Hash: access.HashText(letter),
		Created: time.Unix(1e9, 0).UTC()}
	for _, e := range edit {
		e(&k)
	}
	return k
}

// restored is a machine that was written and read again; the bytes have to be equal.
func restored(t interface {
	Helper()
	Fatal(...any)
}, m *Machine) *Machine {
	t.Helper()
	written := snapshotOf(t, m)
	again, err := ReadSnapshot(bytes.NewReader(written))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written, snapshotOf(t, again)) {
		t.Fatal("a snapshot is written otherwise once it was read")
	}
	return again
}

func TestKeysLive(t *testing.T) {
	w := leads(t)
	create := func(letter string) access.Key {
		t.Helper()
		k, err := w.k.CreateKey(testKey(letter))
		if err != nil || !k.Created.Equal(w.today) {
			t.Fatalf("%+v, %v", k, err)
		}
		return k
	}
	admit := func(text string, want error) {
		t.Helper()
		if _, err := w.k.Admit(testKey("a").ID, access.HashText(text)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	a := create("a")
	admit("a", nil)
	admit("b", access.ErrUnknown)

	var field *job.FieldError
	if _, err := w.k.CreateKey(testKey("b", func(k *access.Key) { k.Name = a.Name })); !errors.As(err,
		&field) || field.Field != "name" {
		t.Errorf("two keys of a name: %v", err)
	}
	past := testKey("b", func(k *access.Key) { k.Expires = w.today })
	if _, err := w.k.CreateKey(past); !errors.As(err, &field) || field.Field != "expires" {
		t.Errorf("one that has expired: %v", err)
	}
	if _, err := w.k.ChangeKey(a.Name, KeyChange{Hash: access.HashText("new"),
		Overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	admit("a", nil)
	admit("new", nil)
	w.pass(time.Hour)
	admit("a", access.ErrRotated)

	team, quota := "red", access.Quota{Queued: 3}
	scopes := access.Scopes{access.Admin}
	k, err := w.k.ChangeKey(a.ID, KeyChange{Team: &team, Quota: &quota, Scopes: &scopes})
	p, _ := w.k.Admit(a.ID, access.HashText("new"))
	if err != nil || p.ID != a.ID || p.Team != team || p.Quota.Queued != 3 || !p.Admin() ||
		k.Hash != access.HashText("new") {
		t.Errorf("%+v is %+v, %v", k, p, err)
	}

	w.k.Restore(restored(t, w.k.Machine()))
	admit("new", nil)
	if _, err := w.k.ChangeKey(a.Name, KeyChange{Revoke: true}); err != nil {
		t.Fatal(err)
	}
	admit("new", access.ErrRevoked)
	if _, err := w.k.ChangeKey(a.Name, KeyChange{Team: &team}); !errors.Is(err, job.ErrTransition) {
		t.Errorf("a revoked key was changed: %v", err)
	}
	if _, err := w.k.ChangeKey("nobody", KeyChange{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	again, err := w.k.CreateKey(testKey("b", func(k *access.Key) { k.Name = a.Name }))
	if err != nil {
		t.Errorf("the name of a revoked key is not free: %v", err)
	}
	if k, err := w.k.FindKey(a.Name); err != nil || k.ID != again.ID {
		t.Errorf("%s is %s, %v", a.Name, k.ID, err)
	}
}

func TestTeamsHaveQuotas(t *testing.T) {
	w := leads(t)
	team := access.Team{Name: "red", Quota: access.Quota{Running: 2}}
	if err := w.k.SetTeam(team); err != nil {
		t.Fatal(err)
	}
	if got, ok := restored(t, w.k.Machine()).Team("red"); !ok || got.Quota.Running != 2 {
		t.Errorf("%+v, %v", got, ok)
	}
	var field *job.FieldError
	if err := w.k.SetTeam(access.Team{Name: "a b"}); !errors.As(err, &field) {
		t.Errorf("%v", err)
	}
	if err := w.k.RemoveTeam("red"); err != nil || len(w.k.Machine().Teams()) != 0 {
		t.Errorf("%v, %v left", err, w.k.Machine().Teams())
	}
	if err := w.k.RemoveTeam("red"); !errors.Is(err, ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
}

// TestUsesAreCommittedOnceAnHour counts the entries that many uses lead to.
func TestUsesAreCommittedOnceAnHour(t *testing.T) {
	w := leads(t)
	for _, letter := range []string{"a", "b"} {
		if _, err := w.k.CreateKey(testKey(letter)); err != nil {
			t.Fatal(err)
		}
	}
	entries := 0
	w.applied = func(e []byte) {
		if bytes.Contains(e, []byte(`"key.used"`)) {
			entries++
		}
	}
	for range 120 { // two hours
		for _, letter := range []string{"a", "b"} {
			if _, err := w.k.Admit(testKey(letter).ID, access.HashText(letter)); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(time.Minute)
	}
	if entries != 2 {
		t.Errorf("%d entries for two hours of two keys, want 2", entries)
	}
	k, err := w.k.FindKey("key-a")
	if ago := w.today.Sub(k.LastUsed); err != nil || ago != time.Minute {
		t.Errorf("last used %v ago, %v", ago, err)
	}
	if k, _ = restored(t, w.k.Machine()).Key(k.ID); w.today.Sub(k.LastUsed) > 61*time.Minute {
		t.Errorf("committed: %v", k.LastUsed)
	}
}

// TestTheFirstKeyIsTakenIn also where a snapshot without keys is restored, but not once revoked.
func TestTheFirstKeyIsTakenIn(t *testing.T) {
	first := testKey("a", func(k *access.Key) { k.Scopes = access.Scopes{access.Admin} })
	w := leads(t, func(c *Config) { c.Admin = first })
	there := func(want bool) {
		t.Helper()
		w.tick()
		k, ok := w.k.Machine().Key(first.ID)
		if ok = ok && k.Usable(w.today); ok != want {
			t.Errorf("the first key lets in: %v, want %v", ok, want)
		}
	}
	there(true)
	empty := NewMachine()
	empty.state.version = commandVersion
	w.k.Restore(empty)
	there(true)
	if _, err := w.k.ChangeKey(first.ID, KeyChange{Revoke: true}); err != nil {
		t.Fatal(err)
	}
	there(false)
}

func TestKeysAreBounded(t *testing.T) {
	var s accessState
	put := func(i int, revoked bool) error {
		k := testKey("a", func(k *access.Key) {
			k.ID, k.Name = fmt.Sprintf("key_%s", numbered(i)), fmt.Sprintf("n%d", i)
			k.Created = k.Created.Add(time.Duration(i))
			if revoked {
				k.Revoked = k.Created
			}
		})
		return s.apply(command{Now: k.Created, Access: &accessChange{Key: &k}})
	}
	for i := range keysMost {
		if err := put(i, i == 5 || i == 7); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(keysMost, false); err != nil || s.Keys["key_"+numbered(5)].ID != "" ||
		s.Keys["key_"+numbered(7)].ID == "" {
		t.Errorf("the oldest that was revoked has to go: %v", err)
	}
	if err := put(keysMost+1, false); err != nil {
		t.Error(err)
	}
	if err := put(keysMost+2, false); !errors.Is(err, ErrQueueFull) || len(s.Keys) != keysMost {
		t.Errorf("%v, %d keys", err, len(s.Keys))
	}
	if err := s.check(); err != nil {
		t.Error(err)
	}
}

// numbered is a number in 16 letters.
func numbered(i int) string {
	return strings.NewReplacer("0", "o", "1", "l", "8", "e", "9", "n").Replace(
		fmt.Sprintf("%016d", i))
}

// TestPagesAreOfOwners lists what is one's own, page by page.
func TestPagesAreOfOwners(t *testing.T) {
	w := leads(t)
	w.join("n")
	var ids []job.ID
	for _, owner := range []string{"key_a", "key_b", "key_a", "", "key_a"} {
		w.k.Create(job.Request{Prompt: "x", Owner: owner, Key: "same"}, func(r job.Record, err error) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, r.ID)
		})
	}
	if ids[0] != ids[2] || ids[0] == ids[1] || ids[1] == ids[3] {
		t.Errorf("keys of requests are not each owner's own: %v", ids)
	}
	own := func(owner string) bool { return owner == "key_a" }
	p, err := w.k.Page(ListOptions{Limit: 2, Order: "asc", Visible: own})
	if err != nil || len(p.Jobs) != 1 || p.More || p.Jobs[0].ID != ids[0] {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := w.k.Page(ListOptions{Limit: 2, Order: "asc", Visible: own,
		After: ids[1]}); !errors.Is(err, ErrNotFound) {
		t.Errorf("after another's: %v", err)
	}
	if p, err = w.k.Page(ListOptions{Limit: 2, Order: "asc", Owner: "key_b"}); err != nil ||
		len(p.Jobs) != 1 || p.Jobs[0].ID != ids[1] {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestRestoredKeysStayRevoked restores a snapshot from before a key was revoked, and another one
// was made.
func TestRestoredKeysStayRevoked(t *testing.T) {
	m := NewMachine()
	m.state.version = commandVersion
	put := func(k access.Key) {
		t.Helper()
		if err := m.state.access.putKey(k, time.Unix(2e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	put(testKey("a"))
	saved := restored(t, m)
	put(testKey("a", func(k *access.Key) { k.Revoked = time.Unix(2e9, 0).UTC() }))
	put(testKey("b"))
	saved.Succeed(m)
	if k, ok := saved.Key(testKey("a").ID); !ok || k.Revoked.IsZero() || len(saved.Keys()) != 1 {
		t.Errorf("%+v", saved.Keys())
	}
}

// TestAccessIsTheSameEverywhere applies any changes to two machines, one of which was restored.
func TestAccessIsTheSameEverywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMachine()
		m.state.version = commandVersion
		for i := range rapid.IntRange(1, 12).Draw(t, "commands") {
			c := command{Kind: kindAccess, Now: time.Unix(int64(1e9+i), 0).UTC()}
			letter := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "letter")
			switch rapid.IntRange(0, 5).Draw(t, "change") {
			case 0:
				k := testKey(letter, func(k *access.Key) {
					k.Name = rapid.SampledFrom([]string{"x", "y", ""}).Draw(t, "name")
					if rapid.Bool().Draw(t, "revoked") {
						k.Revoked = c.Now
					}
				})
				c.Access = &accessChange{Key: &k}
			case 1:
				c.Access = &accessChange{Team: &access.Team{Name: letter}}
			case 2:
				c.Access = &accessChange{Gone: letter}
			case 3:
				c.Access = &accessChange{Used: map[string]time.Time{testKey(letter).ID: c.Now}}
			case 4:
				c.Access = &accessChange{}
			}
			entry, err := c.encode()
			if err != nil {
				t.Fatal(err)
			}
			before := snapshotOf(t, m)
			if _, err := m.Apply(1, entry); err != nil && !bytes.Equal(before, snapshotOf(t, m)) {
				t.Fatal("a refused command has changed something")
			}
			m = restored(t, m)
		}
	})
}
