package rollout

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/longtake/longtake/internal/job"
)

// Limits of a rule.
const (
	listMax = 1024 // entries of a list
	textMax = 256  // bytes of a name, and of an entry
)

// Rule says who may use one model or feature. Raft stores it.
type Rule struct {
	Name string `json:"name"`
	// Percent is of the keys that are in neither list, from 0 to 100, in hundredths.
	Percent float64 `json:"percent"`
	// Keys and Deny list who may and who may not: ids of keys and of subjects of an identity provider,
	// names of keys, and names of teams.
	Keys []string `json:"keys,omitempty"`
	Deny []string `json:"deny,omitempty"`
}

// Who asks for something.
type Who struct {
	Owner string // id of the key or the subject; "" without one
	Name  string // of the key
	Team  string
	// Admin may use everything.
	Admin bool
}

// String is how errors call who asks.
func (w Who) String() string { return cmp.Or(w.Name, w.Owner, "whoever has no key") }

// Check reports whether a rule can be kept; the error is a *job.FieldError.
func (r Rule) Check() error {
	wrong := func(field, value, allowed string) error {
		return &job.FieldError{Field: field, Value: value, Allowed: allowed}
	}
	hundredths := r.Percent * 100

	switch {
	case r.Name == "" || len(r.Name) > textMax || !utf8.ValidString(r.Name):
		return wrong("name", fmt.Sprintf("%.64q", r.Name), "1 to 256 bytes")
	case !(r.Percent >= 0 && r.Percent <= 100) || math.Abs(hundredths-math.Round(hundredths)) > 1e-6:
		return wrong("percent", fmt.Sprint(r.Percent), "0 to 100, with up to two decimals")
	}

	// In order: the audit log has the error, and it is the same on every coordinator.
	for i, list := range [][]string{r.Keys, r.Deny} {
		field := []string{"keys", "deny"}[i]
		if len(list) > listMax {
			return wrong(field, fmt.Sprintf("%d entries", len(list)), fmt.Sprintf("up to %d", listMax))
		}
		for _, e := range list {
			if e == "" || len(e) > textMax || !utf8.ValidString(e) {
				return wrong(field, fmt.Sprintf("%.64q", e), "ids or names of keys, or teams")
			}
		}
	}
	return nil
}

// Bucket is where a key is among all, from 0 to 9999, for one model or feature. It is the upper
// part of the SHA-256 of the name, a zero byte and the key's id: golden values in a test hold it,
// since another one would take features away from those who have them.
func Bucket(name, owner string) int {
	sum := sha256.Sum256([]byte(name + "\x00" + owner))
	high, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:8]), 10000)
	return int(high) //nolint:gosec // below 10000
}

// Allows reports whether w may use what the rule is about, and says by which part of it. A part of
// the keys never counts those without one: they could not be told apart.
func (r Rule) Allows(w Who) (ok bool, why string) {
	percent := fmt.Sprintf("%g %% of the keys", r.Percent)

	// The first case that fits decides. Whoever is listed is not counted among the percentage, so a
	// list never takes a place away from others.
	switch denied, listed := w.in(r.Deny), w.in(r.Keys); {
	case w.Admin:
		return true, "an administrator may use everything"
	case denied != "":
		return false, fmt.Sprintf("%s is denied to %s", r.Name, denied)
	case listed != "":
		return true, fmt.Sprintf("%s is open to %s", r.Name, listed)
	case r.Percent >= 100:
		return true, r.Name + " is open to all that it is not denied to"
	case w.Owner != "" && Bucket(r.Name, w.Owner) < int(math.Round(r.Percent*100)):
		return true, fmt.Sprintf("%s is open to %s, this one among them", r.Name, percent)
	case r.Percent == 0:
		return false, r.Name + " is open to listed keys and teams only"
	}
	return false, fmt.Sprintf("%s is open to %s, and this one is not among them", r.Name, percent)
}

// in returns the entry of a list that w is meant by; "": none. Names of subjects are theirs to
// choose, so that only keys are known by name.
func (w Who) in(list []string) string {
	for _, e := range list {
		named := e == w.Name && strings.HasPrefix(w.Owner, "key_")
		if e != "" && (e == w.Owner || named || e == w.Team) {
			return e
		}
	}
	return ""
}

// Error says that something is not rolled out to who asks.
type Error struct {
	Name  string // of the feature or model
	Field string // of a request
	Who   Who
	Why   string // which part of the rule refuses
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s is not rolled out to %s: %s; allowed: requests without it, and keys that "+
		"an administrator adds (longtake rollout set %s --keys ...)", e.Name, e.Who, e.Why, e.Name)
}

// Check returns an *Error for the first of what a spec uses that w may not.
func Check(rules map[string]Rule, w Who, s job.Spec) error {
	if len(rules) == 0 || w.Admin {
		return nil
	}
	names, fields := Uses(s)
	for i, name := range names {
		r, ruled := rules[name]
		if !ruled {
			continue
		}
		if ok, why := r.Allows(w); !ok {
			return &Error{Name: name, Field: fields[i], Who: w, Why: why}
		}
	}
	return nil
}

// Sorted returns rules by name, for lists and snapshots.
func Sorted(rules map[string]Rule) []Rule {
	out := make([]Rule, 0, len(rules))
	for _, r := range rules {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Rule) int { return strings.Compare(a.Name, b.Name) })
	return out
}
