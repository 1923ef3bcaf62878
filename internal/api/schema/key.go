package schema

import (
	"time"

	"github.com/longtake/longtake/internal/access"
)

// Key is an API key, as /v1/keys shows it. Times are Unix seconds, as OpenAI has them; 0 is never.
type Key struct {
	// ID owns what the key has made, and stays when it is rotated. Name is for people, and is another
	// key's once this one lets nobody in.
	ID     string `json:"id"`
	Object string `json:"object"` // "key"
	Name   string `json:"name"`
	// Team shares the team's quota; "" is none. Quota is the key's own, besides that.
	Team   string        `json:"team,omitempty"`
	Scopes access.Scopes `json:"scopes"`
	Quota  access.Quota  `json:"quota"`
	// State is "active", "expired" or "revoked".
	State    string `json:"state"`
	Created  int64  `json:"created_at"`
	Expires  int64  `json:"expires_at,omitempty"`
	Revoked  int64  `json:"revoked_at,omitempty"`
	LastUsed int64  `json:"last_used_at,omitempty"` // after a change of the leader to an hour
	// PreviousUntil is until when the text from before the latest rotation works.
	PreviousUntil int64 `json:"previous_until,omitempty"`
	// Text is the key itself. Only the answers of create and rotate have it.
	Text string `json:"key,omitempty"`
}

// KeyOf describes a key at a time, without its text.
func KeyOf(k access.Key, now time.Time) Key {
	out := Key{ID: k.ID, Object: "key", Name: k.Name, Team: k.Team, Scopes: k.Scopes, Quota: k.Quota,
		State: "active", Created: unix(k.Created), Expires: unix(k.Expires), Revoked: unix(k.Revoked),
		LastUsed: unix(k.LastUsed)}
	if now.Before(k.Until) {
		out.PreviousUntil = unix(k.Until)
	}
	switch {
	case !k.Revoked.IsZero():
		out.State = "revoked"
	case !k.Usable(now):
		out.State = "expired"
	}
	return out
}

// unix is a time in seconds, 0 for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// KeyList are all keys, the oldest first.
type KeyList struct {
	Object string `json:"object"` // "list"
	Data   []Key  `json:"data"`
}

// KeyChange is the body of requests that create or change a key; nil fields stay as they are, or in
// a new key take their defaults.
type KeyChange struct {
	Name   string         `json:"name,omitempty"` // of a new key
	Team   *string        `json:"team,omitempty"`
	Scopes *access.Scopes `json:"scopes,omitempty"`
	Quota  *access.Quota  `json:"quota,omitempty"`
	// ExpiresIn is in seconds from now; 0: never.
	ExpiresIn *float64 `json:"expires_in,omitempty"`
}

// Rotation is the body of a request for another text of a key.
type Rotation struct {
	// Overlap is for how long the text works that the key has now, in seconds.
	Overlap float64 `json:"overlap"`
}

// Team is a team with a quota, as /v1/teams shows it.
type Team struct {
	Object string       `json:"object"` // "team"
	Name   string       `json:"name"`
	Quota  access.Quota `json:"quota"`
}

// TeamList are all teams with quotas, by name.
type TeamList struct {
	Object string `json:"object"` // "list"
	Data   []Team `json:"data"`
}
