package access_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
)

func random(p []byte) { _, _ = rand.Read(p) }

func newKey(now time.Time) (access.Key, string) {
	id := access.NewID(random)
	text := access.NewText(id, random)
	return access.Key{ID: id, Name: "a", Scopes: access.Scopes{access.VideosRead}, Created: now,
		Hash: access.HashText(text)}, text
}

func TestTextOfAKeyNamesIt(t *testing.T) {
	k, text := newKey(time.Now())
	if id, ok := access.ParseText(text); !ok || id != k.ID || len(text) != access.KeyTextMax {
		t.Errorf("%q is of %q, %v", text, id, ok)
	}
	if id, ok := access.ParseText(access.NewText(access.Local, random)); !ok || id != access.Local {
		t.Errorf("the local key is of %q, %v", id, ok)
	}
	for _, bad := range []string{"", "lt_", "sk-none", "lt_a_b", text + "a", text[:len(text)-1],
		strings.ToUpper(text), "lt__" + strings.Repeat("a", 52), strings.Replace(text, "_", "-", 1),
		"lt_" + strings.Repeat("a", 15) + "1_" + strings.Repeat("a", 52)} {
		if id, ok := access.ParseText(bad); ok {
			t.Errorf("%q is of %q", bad, id)
		}
	}
}

func TestAdmit(t *testing.T) {
	now := time.Unix(1e9, 0)
	k, text := newKey(now)
	hash, other := access.HashText(text), access.HashText("other")
	with := func(edit func(*access.Key)) access.Key {
		c := k
		edit(&c)
		return c
	}
	expires := with(func(k *access.Key) { k.Expires = now.Add(time.Hour) })
	rotated := k.Rotate(other, now, time.Hour)
	for name, c := range map[string]struct {
		key  access.Key
		hash string
		at   time.Duration
		want error
	}{
		"good":    {k, hash, 0, nil},
		"wrong":   {k, other, 0, access.ErrUnknown},
		"none":    {access.Key{}, hash, 0, access.ErrUnknown},
		"nothing": {access.Key{}, "", 0, access.ErrUnknown},
		"revoked": {with(func(k *access.Key) { k.Revoked = now }), hash, 0, access.ErrRevoked},
		"revoked, another's": {with(func(k *access.Key) { k.Revoked = now }), other, 0,
			access.ErrUnknown},
		"expires":              {expires, hash, 0, nil},
		"expired":              {expires, hash, time.Hour, access.ErrExpired},
		"new text":             {rotated, other, 0, nil},
		"old text, in time":    {rotated, hash, 59 * time.Minute, nil},
		"old text, too late":   {rotated, hash, time.Hour, access.ErrRotated},
		"old text, no overlap": {k.Rotate(other, now, 0), hash, 0, access.ErrUnknown},
	} {
		if err := c.key.Admit(c.hash, now.Add(c.at)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestKeysAreChecked(t *testing.T) {
	good, _ := newKey(time.Unix(1e9, 0))
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*access.Key){
		"id":         func(k *access.Key) { k.ID = "local" },
		"no name":    func(k *access.Key) { k.Name = "" },
		"name":       func(k *access.Key) { k.Name = "a b" },
		"team":       func(k *access.Key) { k.Team = "../x" },
		"no scope":   func(k *access.Key) { k.Scopes = nil },
		"scope":      func(k *access.Key) { k.Scopes = access.Scopes{"root"} },
		"twice":      func(k *access.Key) { k.Scopes = access.Scopes{access.Admin, access.Admin} },
		"no hash":    func(k *access.Key) { k.Hash = "" },
		"hash":       func(k *access.Key) { k.Before = "ab" },
		"no created": func(k *access.Key) { k.Created = time.Time{} },
		"quota":      func(k *access.Key) { k.Quota.Queued = -1 },
	} {
		k := good
		edit(&k)
		var field *access.FieldError
		if err := k.Check(); !errors.As(err, &field) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestQuotasAreWrittenAsTheyAreRead(t *testing.T) {
	const all = "rate=0.5,burst=3,queued=10,running=2,device-seconds=3600,bytes=20000000000," +
		"pixels=409600,seconds=5,priority=-3,weight=2.5"
	q, err := access.ParseQuota(strings.Replace(all, "20000000000", "20GB", 1))
	if err != nil || q.String() != all || q.Bytes != 20e9 || *q.Priority != -3 {
		t.Errorf("%v: %v", q, err)
	}
	if q, err := access.ParseQuota(" queued=none, priority=0 ,"); err != nil ||
		q.String() != "priority=0" {
		t.Errorf("%v: %v", q, err)
	}
	for _, bad := range []string{"queued", "queued=", "queued=-1", "queued=0", "queued=1.5",
		"rate=NaN",
		"rate=1e9", "queued=1,queued=2", "jobs=1", "priority=101", "bytes=1PB"} {
		if q, err := access.ParseQuota(bad); err == nil || !strings.Contains(err.Error(), "allowed") {
			t.Errorf("%q is %v, %v", bad, q, err)
		}
	}
}

func TestParseScopes(t *testing.T) {
	l, err := access.ParseScopes([]string{"metrics", " videos:read", "metrics"})
	if err != nil || l.String() != "videos:read,metrics" {
		t.Errorf("%v: %v", l, err)
	}
	if _, err := access.ParseScopes([]string{"all"}); err == nil {
		t.Error("all is a scope")
	}
}

// FuzzKey wants no text to be taken for a key's that is not written as one.
func FuzzKey(f *testing.F) {
	_, text := newKey(time.Now())
	for _, s := range []string{text, "lt_local_" + text[len(text)-52:], "lt__", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := access.ParseText(s); ok && (len(s) > access.KeyTextMax ||
			id != access.Local && access.CheckKeyID(id) != nil) {
			t.Errorf("%q is of %q", s, id)
		}
	})
}

// FuzzQuota wants what is read to be written and read again as the same.
func FuzzQuota(f *testing.F) {
	f.Add("rate=0.5,burst=3,queued=10,bytes=20GB,priority=-3,weight=2.5")
	f.Fuzz(func(t *testing.T, s string) {
		q, err := access.ParseQuota(s)
		if err != nil {
			return
		}
		again, err := access.ParseQuota(q.String())
		if err != nil || q.Check() != nil || again.String() != q.String() {
			t.Errorf("%q is %v, then %v: %v", s, q, again, err)
		}
	})
}
