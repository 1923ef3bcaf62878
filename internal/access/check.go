package access

import (
	"fmt"
	"slices"
	"strings"
)

// FieldError is a value that is not allowed, in the house form.
type FieldError struct{ Field, Value, Allowed string }

// Error implements error.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s is %s; allowed: %s", e.Field, e.Value, e.Allowed)
}

// NameMax bounds the names of keys and teams, in bytes.
const NameMax = 64

// CheckName wants a name of a key or a team: what a shell, a table and a label of a metric take as
// it is. Addresses of mail are names, too.
func CheckName(field, name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@+"
	if name == "" || len(name) > NameMax || strings.Trim(name, letters) != "" ||
		strings.ContainsAny(name[:1], ".-+@") {
		return &FieldError{field, fmt.Sprintf("%.64q", name), "1 to 64 letters, digits and ._-@+, " +
			"the first a letter, a digit or _"}
	}
	return nil
}

// CheckTeam wants the name of a team, or none.
func CheckTeam(team string) error {
	if team == "" {
		return nil
	}
	return CheckName("team", team)
}

// ScopesAllowed lists all scopes, for errors and help.
func ScopesAllowed() string { return strings.Join(names(AllScopes), ", ") }

// names returns scopes as texts, in their order.
func names(l Scopes) []string {
	out := make([]string, len(l))
	for i, s := range l {
		out[i] = string(s)
	}
	return out
}

// Check wants at least one scope, and none that is unknown or twice in it.
func (l Scopes) Check() error {
	if len(l) == 0 {
		return &FieldError{"scopes", "empty", "one or more of " + ScopesAllowed()}
	}
	for i, s := range l {
		if !slices.Contains(AllScopes, s) || slices.Contains(l[:i], s) {
			return &FieldError{"scopes", fmt.Sprintf("%.64q", s), "each once, of " + ScopesAllowed()}
		}
	}
	return nil
}

// ParseScopes reads scopes as settings and flags have them, in which the order does not matter: the
// result is in that of AllScopes. No texts are no scopes, which is for the caller to judge: a
// setting may want none, a key may not. The error is a *FieldError.
func ParseScopes(texts []string) (Scopes, error) {
	out := Scopes{}
	for _, t := range texts {
		s := Scope(strings.TrimSpace(t))
		if s == "" || slices.Contains(out, s) {
			continue
		}
		if !slices.Contains(AllScopes, s) {
			return nil, &FieldError{"scopes", fmt.Sprintf("%.64q", t), ScopesAllowed()}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Scope) int {
		return slices.Index(AllScopes, a) - slices.Index(AllScopes, b)
	})
	return out, nil
}
