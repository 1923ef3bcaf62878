package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
)

// usesEvery is how often it is committed that a key was used: people ask whether a key is still
// needed, not when it was used to the second, and each use would be a write on every coordinator.
const usesEvery = time.Hour

// Key returns a key by its id. The scheduler asks for the quotas of owners by it; one that is no
// key's id, such as that of a token, is not found.
func (m *Machine) Key(id string) (access.Key, bool) {
	k, ok := m.state.access.Keys[id]
	return k, ok
}

// Keys returns all keys, the oldest first, those of one time by their ids.
func (m *Machine) Keys() []access.Key {
	out := make([]access.Key, 0, len(m.state.access.Keys))
	for _, k := range m.state.access.Keys {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b access.Key) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Team returns a team by its name.
func (m *Machine) Team(name string) (access.Team, bool) {
	t, ok := m.state.access.Teams[name]
	return t, ok
}

// Teams returns the teams that have a quota, by name.
func (m *Machine) Teams() []access.Team {
	out := make([]access.Team, 0, len(m.state.access.Teams))
	for _, t := range m.state.access.Teams {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b access.Team) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Admit returns who the holder of a key is, given the key's id and what its text hashes to, and
// notes that it was used. On a follower it may not know a key yet that the leader knows. It may be
// called among the reads.
func (c *Core) Admit(id, hash string) (access.Principal, error) {
	k, _ := c.machine.Key(id)
	now := c.cfg.Now()
	if err := k.Admit(hash, now); err != nil {
		return access.Principal{}, err
	}
	if len(c.uses) >= 2*keysMost { // of keys that are gone
		clear(c.uses)
	}
	c.uses[id] = now
	return k.Principal(), nil
}

// LastUse is when a key was last used, as far as this coordinator knows.
func (c *Core) LastUse(k access.Key) time.Time {
	if at := c.uses[k.ID]; at.After(k.LastUsed) {
		return at
	}
	return k.LastUsed
}

// recordUses commits when keys were used, of each once in usesEvery, and all of them together.
func (l *leader) recordUses() {
	used := map[string]time.Time{}
	for id, at := range l.c.uses {
		k, ok := l.c.machine.Key(id)
		switch {
		case !ok:
			delete(l.c.uses, id)
		case at.Sub(k.LastUsed) >= usesEvery:
			used[id] = at.UTC().Round(0)
		}
	}
	if len(used) == 0 {
		return
	}

	if err := l.c.commitAccess(accessChange{Verb: "key.used", Used: used}); err != nil {
		l.c.log.Debug("cannot record when keys were used", "error", err)
	}
}

// takeAdmin takes the first key of a cluster in, if its coordinators were given one. It does so
// again where a snapshot was restored that knows neither it nor another key of an administrator,
// but not if it was revoked.
func (l *leader) takeAdmin() {
	k := l.c.cfg.Admin
	if l.c.machine.Version() < ownersSince {
		return
	}
	for _, o := range l.c.machine.Keys() {
		if o.ID == k.ID || o.Usable(l.c.cfg.Now()) && o.Scopes.Has(access.Admin) {
			return
		}
	}

	if k.ID == "" {
		if l.c.cfg.Locked && !l.keyless {
			l.keyless = true
			l.c.log.Warn("no API key of scope admin works, so nobody can make one; put an admin.sha256, " +
				"as longtake pki init writes it, into tls.dir of this coordinator and start it again")
		}
		return
	}
	if err := l.c.commitAccess(accessChange{Verb: "key.create", Key: &k}); err != nil {
		l.c.log.Warn("cannot take in the first key", "key", k.ID, "error", err)
		return
	}
	l.c.log.Info("the first key was taken in", "key", k.ID, "name", k.Name)
}

// findKey returns the key of an id, or the one of a name that works; if none does, the one that was
// created last.
func (c *Core) findKey(name string) (access.Key, error) {
	if k, ok := c.machine.Key(name); ok {
		return k, nil
	}
	var found access.Key
	for _, k := range c.machine.Keys() {
		if k.Name == name && (found.ID == "" || !found.Usable(c.cfg.Now())) {
			found = k
		}
	}
	if found.ID == "" {
		return found, fmt.Errorf("key %.64q: %w", name, ErrNotFound)
	}
	return found, nil
}

// FindKey returns a key by its id or name, or ErrNotFound.
func (c *Core) FindKey(name string) (access.Key, error) {
	if !c.Leads() {
		return access.Key{}, ErrNotLeader
	}
	k, err := c.findKey(name)
	k.LastUsed = c.LastUse(k)
	return k, err
}

// KeyChange is a change of a key; nil fields stay as they are.
type KeyChange struct {
	Team    *string
	Scopes  *access.Scopes
	Quota   *access.Quota
	Expires *time.Time
	Revoke  bool
	// Hash is that of a new text; the one before it counts for Overlap.
	Hash    string
	Overlap time.Duration
}

// To returns a key with the team, scopes, quota and end of a change; what it does not say stays as
// it is.
func (ch KeyChange) To(k access.Key) access.Key {
	if ch.Team != nil {
		k.Team = *ch.Team
	}
	if ch.Scopes != nil {
		k.Scopes = *ch.Scopes
	}
	if ch.Quota != nil {
		k.Quota = *ch.Quota
	}
	if ch.Expires != nil {
		k.Expires = *ch.Expires
	}
	return k
}

// verb is what the audit calls a change.
func (ch KeyChange) verb() string {
	switch {
	case ch.Revoke:
		return "key.revoke"
	case ch.Hash != "":
		return "key.rotate"
	}
	return "key.update"
}

// CreateKey commits a new key, whose creation is now. ErrNotLeader, ErrUpgrading, or a
// *job.FieldError.
func (c *Core) CreateKey(k access.Key) (access.Key, error) {
	if !c.Leads() {
		return k, ErrNotLeader
	}
	k.Created = c.cfg.Now().UTC().Round(0)
	if k.Expires.IsZero() || k.Expires.After(k.Created) {
		return k, c.commitAccess(accessChange{Verb: "key.create", Key: &k})
	}
	return k, &job.FieldError{Field: "expires", Value: k.Expires.Format(time.RFC3339),
		Allowed: "a time to come"}
}

// ChangeKey changes the key of an id or a name and returns it. It reads the key and commits all of
// it: between the two nothing else can change it, since both happen in one event of the leader. It
// returns ErrNotLeader, ErrNotFound, job.ErrTransition of a key that was revoked, or a
// *job.FieldError.
func (c *Core) ChangeKey(name string, ch KeyChange) (access.Key, error) {
	if !c.Leads() {
		return access.Key{}, ErrNotLeader
	}
	k, err := c.findKey(name)
	if err != nil {
		return k, err
	}

	now := c.cfg.Now().UTC().Round(0) // as commands have it
	if !k.Revoked.IsZero() {
		return k, fmt.Errorf("key %s was revoked, which is for good; create another one: %w", k.Name,
			job.ErrTransition)
	}

	// The two that decide who has the key from now on.
	k = ch.To(k)
	if ch.Hash != "" {
		k = k.Rotate(ch.Hash, now, ch.Overlap)
	}
	if ch.Revoke {
		k.Revoked = now
	}

	// The latest use is known here before it is due to be committed.
	k.LastUsed = c.LastUse(k).UTC().Round(0)
	return k, c.commitAccess(accessChange{Verb: ch.verb(), Key: &k})
}

// SetTeam gives a team its quota; RemoveTeam takes it away.
func (c *Core) SetTeam(t access.Team) error {
	return c.commitAccess(accessChange{Verb: "team.set", Team: &t})
}

// RemoveTeam forgets the quota of a team, whose keys stay. ErrNotFound.
func (c *Core) RemoveTeam(name string) error {
	if _, ok := c.machine.Team(name); !ok && c.Leads() {
		return fmt.Errorf("team %.64q: %w", name, ErrNotFound)
	}
	return c.commitAccess(accessChange{Verb: "team.remove", Gone: name})
}

// commitAccess commits a change of who may use the cluster.
func (c *Core) commitAccess(a accessChange) error {
	if !c.Leads() {
		return ErrNotLeader
	}
	_, err := c.commit(command{Kind: kindAccess, Access: &a})
	return err
}
