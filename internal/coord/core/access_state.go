package core

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
)

// Limits on what is kept of access. A key takes some 500 bytes of a snapshot.
const (
	keysMost  = 4096
	teamsMost = 1024
)

// accessState is who may use the cluster: keys by id, and teams by name. It holds no secret: of a
// key's text there is the SHA-256 alone, so that snapshots may be kept like other backups. A key
// that ended stays for a while, as the jobs that it made name it.
type accessState struct {
	Keys  map[string]access.Key  `json:"keys,omitempty"`
	Teams map[string]access.Team `json:"teams,omitempty"`
}

// accessChange is what a command of kindAccess does; one of its fields is set, apart from Verb.
type accessChange struct {
	// Verb says for the audit what is done, such as "key.create".
	Verb string `json:"verb"`
	// Key is put in place of the one of its id, Team of the one of its name.
	Key  *access.Key  `json:"key,omitempty"`
	Team *access.Team `json:"team,omitempty"`
	// Gone is the name of a team that is removed.
	Gone string `json:"gone,omitempty"`
	// Used is when keys were used, by id.
	Used map[string]time.Time `json:"used,omitempty"`
}

// empty reports whether nothing was ever said of access.
func (s accessState) empty() bool { return len(s.Keys)+len(s.Teams) == 0 }

// snapshot copies the state; nil: it is empty.
func (s accessState) snapshot() *accessState {
	if s.empty() {
		return nil
	}
	return &accessState{maps.Clone(s.Keys), maps.Clone(s.Teams)}
}

// apply changes who may use the cluster.
func (s *accessState) apply(c command) error {
	a := c.Access
	switch {
	case a == nil:
	case a.Key != nil:
		return s.putKey(*a.Key, c.Now)
	case a.Team != nil:
		return s.putTeam(*a.Team)
	case a.Gone != "":
		delete(s.Teams, a.Gone)
		return nil
	case a.Used != nil:
		s.use(a.Used)
		return nil
	}
	return fmt.Errorf("cannot apply an incomplete %s command", c.Kind)
}

// putKey takes a key in, or what has become of one. Where there is no more room, the key goes that
// has been of no use for longest.
func (s *accessState) putKey(k access.Key, now time.Time) error {
	if err := fieldError(k.Check()); err != nil {
		return err
	}
	for id, o := range s.Keys { // one at most has the name
		if id != k.ID && o.Name == k.Name && o.Usable(now) && k.Usable(now) {
			return &job.FieldError{Field: "name", Value: fmt.Sprintf("%q", k.Name),
				Allowed: "one that no other key has which works"}
		}
	}

	if _, ok := s.Keys[k.ID]; !ok && len(s.Keys) >= keysMost {
		old := s.oldestEnded(now)
		if old == "" {
			return fmt.Errorf("%w: %d keys are kept, and all of them work; revoke some", ErrQueueFull,
				len(s.Keys))
		}
		delete(s.Keys, old)
	}

	if s.Keys == nil {
		s.Keys = map[string]access.Key{}
	}
	s.Keys[k.ID] = k
	return nil
}

// oldestEnded is the id of the key that was created first of those that let nobody in any more.
func (s *accessState) oldestEnded(now time.Time) (oldest string) {
	for id, k := range s.Keys {
		if k.Usable(now) {
			continue
		}
		if at := k.Created.Compare(s.Keys[oldest].Created); oldest == "" || at < 0 ||
			at == 0 && id < oldest {
			oldest = id
		}
	}
	return oldest
}

func (s *accessState) putTeam(t access.Team) error {
	if err := fieldError(t.Check()); err != nil {
		return err
	}
	if _, ok := s.Teams[t.Name]; !ok && len(s.Teams) >= teamsMost {
		return fmt.Errorf("%w: %d teams are kept", ErrQueueFull, len(s.Teams))
	}
	if s.Teams == nil {
		s.Teams = map[string]access.Team{}
	}
	s.Teams[t.Name] = t
	return nil
}

// use notes when keys were used, which never goes back.
func (s *accessState) use(used map[string]time.Time) {
	for id, at := range used {
		if k, ok := s.Keys[id]; ok && at.After(k.LastUsed) {
			k.LastUsed = at
			s.Keys[id] = k
		}
	}
}

// check reports whether a snapshot's part on access is one that commands can have led to.
func (s *accessState) check() error {
	if s == nil {
		return nil
	}
	if n := len(s.Keys); n > keysMost {
		return &job.FieldError{Field: "access.keys", Value: fmt.Sprint(n),
			Allowed: fmt.Sprintf("up to %d", keysMost)}
	}

	if n := len(s.Teams); n > teamsMost {
		return &job.FieldError{Field: "access.teams", Value: fmt.Sprint(n),
			Allowed: fmt.Sprintf("up to %d", teamsMost)}
	}

	for _, id := range slices.Sorted(maps.Keys(s.Keys)) {
		if err := fieldError(s.Keys[id].Check()); err != nil || s.Keys[id].ID != id {
			return at(fmt.Sprintf("access.keys[%.64q]", id), orDefault(err, "it has another id"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Teams)) {
		if err := fieldError(s.Teams[name].Check()); err != nil || s.Teams[name].Name != name {
			return at(fmt.Sprintf("access.teams[%.64q]", name), orDefault(err, "it has another name"))
		}
	}
	return nil
}

// orDefault is an error, or one of a text if there is none.
func orDefault(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

// fieldError is an error of package access as clients are told of it.
func fieldError(err error) error {
	var f *access.FieldError
	if errors.As(err, &f) {
		return &job.FieldError{Field: f.Field, Value: f.Value, Allowed: f.Allowed}
	}
	return err
}
