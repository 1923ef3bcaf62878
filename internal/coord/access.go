package coord

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// KeyChange is a change of a key.
type KeyChange = core.KeyChange

// Access knows who may use the cluster. Keys and teams are replicated; a key's text is not: it is
// given out once, by CreateKey and RotateKey.
type Access interface {
	// Admit returns who holds the key of that text, and notes that it was used. It returns
	// access.ErrUnknown and its like. A follower may not know a key yet that the leader knows.
	Admit(ctx context.Context, text string) (access.Principal, error)
	// Leading returns nil if this coordinator leads, else a *NotLeaderError.
	Leading(ctx context.Context) error
	// Keys returns all keys, the oldest first, and Key the one of an id or name, or ErrNotFound.
	Keys(ctx context.Context) ([]access.Key, error)
	Key(ctx context.Context, name string) (access.Key, error)
	// CreateKey gives k an id, a text and the time of its creation. It returns a *job.FieldError, or
	// ErrQueueFull if there are too many keys.
	CreateKey(ctx context.Context, k access.Key) (access.Key, string, error)
	// ChangeKey changes a key; job.ErrTransition if it was revoked.
	ChangeKey(ctx context.Context, name string, ch KeyChange) (access.Key, error)
	// RotateKey gives a key another text; the one before it works for the time of an overlap.
	RotateKey(ctx context.Context, name string, overlap time.Duration) (access.Key, string, error)
	// Teams returns the teams that have quotas, by name; SetTeam and RemoveTeam change them.
	Teams(ctx context.Context) ([]access.Team, error)
	SetTeam(ctx context.Context, t access.Team) error
	RemoveTeam(ctx context.Context, name string) error
}

// Admit implements Service. It is the one read that every request makes, and takes some
// microseconds: the loop serves it also while it waits for the disk.
func (c *Coordinator) Admit(_ context.Context, text string) (p access.Principal, err error) {
	// A text that is no key's costs the same as one that is.
	id, _ := access.ParseText(text)
	hash := access.HashText(text)
	if !c.loop.read(func() { p, err = c.core.Admit(id, hash) }) {
		err = errClosed
	}
	return p, err
}

// Leading implements Service.
func (c *Coordinator) Leading(context.Context) error { return c.leading() }

// Keys implements Service. It asks a majority first, as all that reads keys for people does: who
// has revoked one wants to see that it is.
func (c *Coordinator) Keys(context.Context) ([]access.Key, error) {
	if err := c.confirmed(); err != nil {
		return nil, err
	}
	return look(c, func() ([]access.Key, error) {
		all := c.core.Machine().Keys()
		for i := range all {
			all[i].LastUsed = c.core.LastUse(all[i])
		}
		return all, nil
	})
}

// Key implements Service.
func (c *Coordinator) Key(_ context.Context, name string) (access.Key, error) {
	if err := c.confirmed(); err != nil {
		return access.Key{}, err
	}
	return look(c, func() (access.Key, error) { return c.core.FindKey(name) })
}

// random fills b with random bytes, and does not fail: see crypto/rand.
func random(b []byte) { _, _ = rand.Read(b) }

// CreateKey implements Service. The text is made here and not in the core: what is committed, and
// what the log of commands shows, has no secret in it.
func (c *Coordinator) CreateKey(ctx context.Context, k access.Key) (access.Key, string, error) {
	k.ID = access.NewID(random)
	text := access.NewText(k.ID, random)
	k.Hash = access.HashText(text)
	k, err := doNow(ctx, c, func() (access.Key, error) { return c.core.CreateKey(k) })
	if err != nil {
		return k, "", err
	}
	return k, text, nil
}

// ChangeKey implements Service.
func (c *Coordinator) ChangeKey(ctx context.Context, name string, ch KeyChange) (access.Key,
	error) {
	return doNow(ctx, c, func() (access.Key, error) { return c.core.ChangeKey(name, ch) })
}

// RotateKey implements Service. The id stays, so the key keeps its jobs, its team and its quota.
func (c *Coordinator) RotateKey(ctx context.Context, name string, overlap time.Duration) (
	access.Key, string, error) {
	k, err := c.Key(ctx, name)
	if err != nil {
		return k, "", err
	}

	text := access.NewText(k.ID, random)
	k, err = c.ChangeKey(ctx, k.ID, KeyChange{Hash: access.HashText(text), Overlap: overlap})
	if err != nil {
		return k, "", err
	}
	return k, text, nil
}

// Teams implements Service.
func (c *Coordinator) Teams(context.Context) ([]access.Team, error) {
	if err := c.confirmed(); err != nil {
		return nil, err
	}
	return look(c, func() ([]access.Team, error) { return c.core.Machine().Teams(), nil })
}

// SetTeam implements Service.
func (c *Coordinator) SetTeam(ctx context.Context, t access.Team) error {
	return doErr(ctx, c, func() error { return c.core.SetTeam(t) })
}

// RemoveTeam implements Service.
func (c *Coordinator) RemoveTeam(ctx context.Context, name string) error {
	return doErr(ctx, c, func() error { return c.core.RemoveTeam(name) })
}

// What a client may see is decided here and not in the API: a route cannot forget it. The API puts
// who asks into the context; a context without anybody is the process itself, which sees all.

// mine returns ErrNotFound for a job that is another's: to its client it does not exist. In the
// loop. A follower judges nobody, and shows nothing: the leadership may just have been lost.
func (c *Coordinator) mine(ctx context.Context, id job.ID) error {
	p, ok := access.From(ctx)
	if !ok || p.Admin() {
		return nil
	}
	if !c.core.Leads() {
		return ErrNotLeader
	}
	if r, ok := c.core.Machine().Record(id); ok && !p.Owns(r.Owner) {
		return fmt.Errorf("job %.64s: %w", id, ErrNotFound) // as of one that there is not
	}
	return nil
}
