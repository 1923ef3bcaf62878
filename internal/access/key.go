package access

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A key's text is "lt_", the key's id without "key_", "_", and 256 random bits in base 32. The
// prefix lets scanners of source code find keys that were committed by mistake.
const (
	// TextPrefix is how the text of a key begins.
	TextPrefix = "lt_"
	// IDPrefix is how the id of a key begins, which owns its jobs.
	IDPrefix = "key_"

	idBytes, secretBytes = 10, 32
	secretChars          = 52 // of secretBytes
	// KeyTextMax bounds the text of a key, in bytes.
	KeyTextMax = len(TextPrefix) + 16 + 1 + secretChars
)

const keyLetters = "abcdefghijklmnopqrstuvwxyz234567"

var keyEncoding = base32.NewEncoding(keyLetters).WithPadding(base32.NoPadding)

// Key is what a cluster keeps of an API key. Its text is shown once and kept nowhere: of a text of
// 256 random bits the SHA-256 gives nothing away, and needs no salt.
type Key struct {
	ID     string `json:"id"` // that of its principal
	Name   string `json:"name"`
	Team   string `json:"team,omitempty"`
	Scopes Scopes `json:"scopes"`
	Quota  Quota  `json:"quota,omitzero"`

	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"` // zero: never
	Revoked  time.Time `json:"revoked,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"` // to an hour

	Hash string `json:"hash"` // SHA-256 of the text, in hex
	// Before is that of the text before the latest rotation, which works until Until.
	Before string    `json:"before,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

// Team is a group of keys that share a quota.
type Team struct {
	Name  string `json:"name"`
	Quota Quota  `json:"quota,omitzero"`
}

// Why a key does not let in. What is said of a key to others than its holder is ErrUnknown.
var (
	ErrUnknown = errors.New("the API key is not known")
	ErrRevoked = errors.New("the API key was revoked")
	ErrExpired = errors.New("the API key has expired")
	// ErrUnavailable: who could say is away.
	ErrUnavailable = errors.New("the identity provider does not answer")
	ErrRotated     = errors.New("the API key was rotated, and the text from before does not count " +
		"any more")
)

// NewID returns the id of a new key, from random, which fills what it is given.
func NewID(random func([]byte)) string { return IDPrefix + draw(random, idBytes) }

// NewText returns the text of a key of that id: for its first owner, or after a rotation.
func NewText(id string, random func([]byte)) string {
	return TextPrefix + strings.TrimPrefix(id, IDPrefix) + "_" + draw(random, secretBytes)
}

// draw returns n random bytes in base 32.
func draw(random func([]byte), n int) string {
	b := make([]byte, n)
	random(b)
	return keyEncoding.EncodeToString(b)
}

// LooksLikeKey reports whether a credential claims to be a key of longtake. One that does and is
// none is refused, also where access is open: its owner believes to be somebody.
func LooksLikeKey(text string) bool { return strings.HasPrefix(text, TextPrefix) }

// ParseText returns the id of the key of a text, false if that is none. Its secret is not judged.
func ParseText(text string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(text, TextPrefix)
	short, secret, cut := strings.Cut(rest, "_")
	if !ok || !cut || len(secret) != secretChars || !plain(secret) {
		return "", false
	}
	if short == Local {
		return Local, true
	}
	return IDPrefix + short, CheckKeyID(IDPrefix+short) == nil
}

// plain reports whether a text has no other characters than those of base 32.
func plain(s string) bool { return strings.Trim(s, keyLetters) == "" }

// CheckKeyID wants the id of a key.
func CheckKeyID(id string) error {
	short, ok := strings.CutPrefix(id, IDPrefix)
	if !ok || len(short) != keyEncoding.EncodedLen(idBytes) || !plain(short) {
		return &FieldError{"id", fmt.Sprintf("%.64q", id), "that of a key, such as " +
			"key_abcdefghij234567"}
	}
	return nil
}

// HashText returns what is kept of a text.
func HashText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Same reports whether two hashes are equal. It takes as long whatever they are.
func Same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Admit reports whether a text with that hash lets in at a time: nil, or one of the errors above.
// Of a key that does not exist, the zero Key says ErrUnknown after the same work.
func (k Key) Admit(hash string, now time.Time) error {
	nobody := strings.Repeat("-", 2*sha256.Size)
	current := Same(hash, cmp.Or(k.Hash, nobody))
	before := Same(hash, cmp.Or(k.Before, nobody))
	switch {
	case !current && !before:
		return ErrUnknown
	case !k.Revoked.IsZero():
		return ErrRevoked
	case k.ended(now):
		return ErrExpired
	case !current && !now.Before(k.Until):
		return ErrRotated
	}
	return nil
}

// ended reports whether a key lets nobody in any more.
func (k Key) ended(now time.Time) bool {
	return !k.Revoked.IsZero() || !k.Expires.IsZero() && !now.Before(k.Expires)
}

// Usable reports whether a key may let somebody in at a time.
func (k Key) Usable(now time.Time) bool { return !k.ended(now) }

// Principal is who the holder of a key is.
func (k Key) Principal() Principal {
	return Principal{ID: k.ID, Name: k.Name, Team: k.Team, Scopes: k.Scopes, Quota: k.Quota}
}

// Rotate gives a key another text; the one that it has counts for the time of an overlap.
func (k Key) Rotate(hash string, now time.Time, overlap time.Duration) Key {
	k.Before, k.Until = k.Hash, now.Add(overlap)
	if overlap <= 0 {
		k.Before, k.Until = "", time.Time{}
	}
	k.Hash = hash
	return k
}

// Check reports whether a key is one that can be kept. It trusts nothing: keys come from clients,
// from logs and from snapshots.
func (k Key) Check() error {
	if err := CheckKeyID(k.ID); err != nil {
		return err
	}
	if err := CheckName("name", k.Name); err != nil {
		return err
	}
	if err := CheckTeam(k.Team); err != nil {
		return err
	}

	if err := k.Scopes.Check(); err != nil {
		return err
	}

	for _, h := range []string{k.Hash, k.Before} {
		raw, err := hex.DecodeString(h)
		if h != "" && (err != nil || len(raw) != sha256.Size || strings.ToLower(h) != h) {
			return &FieldError{"hash", "not one", "64 hex digits in lower case"}
		}
	}
	if k.Hash == "" || k.Created.IsZero() {
		return &FieldError{"hash", "or created missing", "both"}
	}
	return k.Quota.Check()
}

// Check reports whether a team is one that can be kept.
func (t Team) Check() error {
	if err := CheckName("team", t.Name); err != nil {
		return err
	}
	return t.Quota.Check()
}
