package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/coord"
)

// everybody may do everything without a key, in tests of what is not about access.
var everybody = Auth{Anonymous: access.AllScopes}

// fakeKeys are the keys of a fake coordinator.
type fakeKeys struct {
	keys  []access.Key
	teams []access.Team
	last  coord.KeyChange
}

func random(p []byte) { _, _ = rand.Read(p) }

// add makes a key and returns its text.
func (f *fakeKeys) add(name string, scopes access.Scopes, edit ...func(*access.Key)) string {
	k, text, _ := f.CreateKey(context.Background(), access.Key{Name: name, Scopes: scopes})
	for _, e := range edit {
		e(&k)
	}
	f.keys[len(f.keys)-1] = k
	return text
}

func (f *fakeKeys) Admit(_ context.Context, text string) (access.Principal, error) {
	id, _ := access.ParseText(text)
	k, _ := f.Key(context.Background(), id)
	return k.Principal(), k.Admit(access.HashText(text), time.Now())
}

func (f *fakeKeys) Leading(context.Context) error { return nil }

func (f *fakeKeys) Keys(context.Context) ([]access.Key, error) { return f.keys, nil }

func (f *fakeKeys) Key(_ context.Context, name string) (access.Key, error) {
	for _, k := range f.keys {
		if k.Name == name || k.ID == name {
			return k, nil
		}
	}
	return access.Key{}, fmt.Errorf("key %s: %w", name, coord.ErrNotFound)
}

func (f *fakeKeys) CreateKey(_ context.Context, k access.Key) (access.Key, string, error) {
	k.ID, k.Created = access.NewID(random), time.Unix(1e9, 0)
	text := access.NewText(k.ID, random)
	k.Hash = access.HashText(text)
	f.keys = append(f.keys, k)
	return k, text, k.Check()
}

func (f *fakeKeys) ChangeKey(ctx context.Context, name string, ch coord.KeyChange) (access.Key,
	error) {
	f.last = ch
	return f.Key(ctx, name)
}

func (f *fakeKeys) RotateKey(ctx context.Context, name string, overlap time.Duration) (access.Key,
	string, error) {
	k, err := f.ChangeKey(ctx, name, coord.KeyChange{Overlap: overlap})
	return k, access.NewText(k.ID, random), err
}

func (f *fakeKeys) Teams(context.Context) ([]access.Team, error) { return f.teams, nil }

func (f *fakeKeys) SetTeam(_ context.Context, t access.Team) error {
	f.teams = append(f.teams, t)
	return t.Check()
}

func (f *fakeKeys) RemoveTeam(_ context.Context, name string) error {
	f.teams = slices.DeleteFunc(f.teams, func(t access.Team) bool { return t.Name == name })
	return nil
}
