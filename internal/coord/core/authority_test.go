package core

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/pki"
)

// hash is a SHA-256 in hex, as far as a machine can tell.
func hash(c string) string { return strings.Repeat(c, 64) }

// issue is a certificate of a name and a key.
func issue(role pki.Role, name, key string) *Issue {
	until := noon.Add(24 * time.Hour)
	return &Issue{Role: role, Name: name, Key: hash(key), CA: hash("c"), Until: until}
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// authorized is a machine with a CA and a token for a shard.
func authorized(t *testing.T) *Machine {
	t.Helper()
	m := NewMachine()
	change := func(c AuthorityChange) {
		t.Helper()
		if err := changed(m, c, noon); err != nil {
			t.Fatal(err)
		}
	}
	change(AuthorityChange{Cluster: "demo", Found: &CA{Cert: "-----BEGIN 1", Key: "-----BEGIN KEY1"}})
	change(AuthorityChange{Token: &JoinToken{Name: "t1", Hash: hash("1"), Role: pki.RoleShard,
		Expires: noon.Add(time.Hour)}})
	return m
}

// changed applies a change at a time, through an entry of the log.
func changed(m *Machine, c AuthorityChange, at time.Time) error {
	entry, err := command{Version: 9, Kind: kindAuthority, Now: at, Authority: &c}.encode()
	if err != nil {
		return err
	}
	_, err = m.Apply(1, entry)
	return err
}

// TestTokensAreForOne plays every way to use a token that it is not for.
func TestTokensAreForOne(t *testing.T) {
	m := authorized(t)
	join := func(token string, i *Issue, at time.Time) error {
		return changed(m, AuthorityChange{Hash: hash(token), Join: i}, at)
	}
	refused := func(what string, err, want error, text string) {
		t.Helper()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v; want %v, %q", what, err, want, text)
		}
	}

	a := issue(pki.RoleShard, "a", "a")
	refused("unknown", join("f", a, noon), ErrToken, "not known")
	refused("expired", join("1", a, noon.Add(time.Hour)), ErrToken, "expired at 2026-01-02T13:00:00Z")
	refused("role", join("1", issue(pki.RoleCoordinator, "a", "a"), noon), ErrToken, "for a shard")
	if err := join("1", a, noon); err != nil {
		t.Fatal(err)
	}
	if err := join("1", a, noon.Add(time.Minute)); err != nil {
		t.Errorf("the same process asks again, as it got no answer: %v", err)
	}
	refused("twice", join("1", issue(pki.RoleShard, "a", "b"), noon), ErrToken, "was used at")
	refused("twice", join("1", issue(pki.RoleShard, "b", "a"), noon), ErrToken, "by a")

	// A name is its owner's, unless the token says it: then the machine was replaced.
	for name, whose := range map[string]string{"2": "", "3": "a"} {
		err := changed(m, AuthorityChange{Token: &JoinToken{Name: "t" + name, Hash: hash(name),
			Role: pki.RoleShard, For: whose, Expires: noon.Add(time.Hour)}}, noon)
		if err != nil {
			t.Fatal(err)
		}
	}
	b := issue(pki.RoleShard, "a", "b")
	refused("taken", join("2", b, noon), ErrNameTaken, "--name a")
	refused("for another", join("3", issue(pki.RoleShard, "z", "b"), noon), ErrToken, "it is for a")
	if err := join("3", b, noon); err != nil {
		t.Fatal(err)
	}
	refused("renewed by the old one", changed(m, AuthorityChange{Renew: a}, noon), ErrNameTaken, "")
	if err := changed(m, AuthorityChange{Renew: b}, noon.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	refused("yesterday's", join("2", issue(pki.RoleShard, "a", "d"), noon.Add(25*time.Hour)), ErrToken,
		"")

	// Revoked identities get nothing, and come back when that is taken back.
	d := &Denial{Role: pki.RoleShard, Name: "a", At: noon}
	err := changed(m, AuthorityChange{Deny: d}, noon)
	if err != nil || !m.Authority().IsDenied(d.Role, "a") {
		t.Fatal(err)
	}
	refused("revoked", changed(m, AuthorityChange{Renew: b}, noon), ErrDenied, "--undo")
	err = changed(m, AuthorityChange{Allow: d}, noon)
	if err != nil || m.Authority().IsDenied(d.Role, "a") {
		t.Error(err)
	}
	if err := changed(m, AuthorityChange{Renew: b}, noon); err != nil {
		t.Error(err)
	}
	refused("gone", changed(m, AuthorityChange{Void: "t9"}, noon), ErrNotFound, "t9")
	refused("without a CA", changed(NewMachine(), AuthorityChange{Renew: b}, noon), ErrNoAuthority, "")
}

// TestAuthoritiesAreKept rotates a CA, saves the state for an operator, and restores it.
func TestAuthoritiesAreKept(t *testing.T) {
	m := authorized(t)
	next := &CA{Cert: "-----BEGIN 2", Key: "-----BEGIN KEY2", Cross: "-----BEGIN 3", Since: noon}
	if err := changed(m, AuthorityChange{Rotate: next}, noon); err != nil {
		t.Fatal(err)
	}
	a := m.Authority()
	signer, _ := a.Signer()
	if signer.Cert != next.Cert || len(a.CAs) != 2 || a.CAs[0].Key != "" || len(a.Tokens) != 0 {
		t.Errorf("after a rotation: %+v", a)
	}

	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var all, saved bytes.Buffer
	if err := errors.Join(s.Write(&all), s.WithoutSecrets().Write(&saved)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(all.String(), "KEY2") || strings.Contains(saved.String(), "KEY") {
		t.Error("the key is not where it should be, or is where it should not")
	}
	read, err := ReadSnapshot(&saved)
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := read.Authority().Signer(); s.Cert != next.Cert || s.Key != "" {
		t.Errorf("read: %+v", read.Authority())
	}
	if read.Succeed(m); read.Authority() != m.Authority() {
		t.Error("the cluster's own authority is not kept")
	}

	// The file of pki init gives a new cluster the key that its snapshot lacks; another CA gives none.
	again := &CA{Cert: next.Cert, Key: next.Key}
	bare := NewMachine()
	bare.keepAuthority(s.Authority.public())
	if err := changed(bare, AuthorityChange{Cluster: "demo", Found: again}, noon); err != nil {
		t.Fatal(err)
	}
	if s, _ := bare.Authority().Signer(); s.Key != next.Key || s.Cross != next.Cross {
		t.Errorf("found again: %+v", s)
	}
	other := &CA{Cert: "-----BEGIN 9", Key: "-----BEGIN KEY9"}
	if err := changed(bare, AuthorityChange{Cluster: "demo", Found: other}, noon); err == nil {
		t.Error("a second CA was founded")
	}
	err = changed(m, AuthorityChange{Drop: true}, noon)
	if err != nil || len(m.Authority().CAs) != 1 {
		t.Error(err)
	}
}

// TestAuthoritiesAreChecked gives a machine what no coordinator writes.
func TestAuthoritiesAreChecked(t *testing.T) {
	for _, a := range []*Authority{
		{CAs: []CA{{Cert: "-----BEGIN"}}},
		{Cluster: "demo", CAs: []CA{{Cert: "x"}}},
		{Cluster: "demo", CAs: make([]CA, casKept+1)},
		{Tokens: []JoinToken{{Name: "t", Hash: "x", Role: pki.RoleShard}}},
		{Tokens: []JoinToken{{Name: "t", Hash: hash("1"), Role: "king"}}},
		{Tokens: []JoinToken{{Name: "t", Hash: hash("1"), Role: pki.RoleShard, For: "a b"}}},
		{Issued: []Issue{{Role: pki.RoleShard, Name: "a.b", Key: hash("1"), CA: hash("1")}}},
		{Denied: []Denial{{Role: pki.RoleShard}}},
	} {
		if err := a.check(); err == nil {
			t.Errorf("%+v is taken", a)
		}
	}
	m := authorized(t)
	before := m.Authority()
	err := changed(m, AuthorityChange{Deny: &Denial{Name: "a"}}, noon)
	if err == nil || m.Authority() != before {
		t.Errorf("a denial without a role: %v", err)
	}
	if err := changed(m, AuthorityChange{}, noon); err == nil {
		t.Error("nothing is taken for a change")
	}
}
