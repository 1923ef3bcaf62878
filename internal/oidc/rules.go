package oidc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/access"
)

// Rule gives scopes to whose claim has a value, or a list with it.
type Rule struct {
	Claim, Value string
	Scopes       access.Scopes
}

// RuleAllowed is how a rule is written, for errors.
const RuleAllowed = "CLAIM=VALUE:SCOPES, such as groups=video:videos:read,videos:write"

// ParseRules reads rules as settings have them. A list of settings is split at commas where it
// comes from a flag or a variable, so a text without "=" has more scopes of the rule before it. The
// value ends at the first colon: those with one in them cannot be told from scopes, and are for the
// provider to map. The error is an *access.FieldError.
func ParseRules(list []string) ([]Rule, error) {
	var out []Rule
	for _, text := range list {
		text = strings.TrimSpace(text)
		claim, rest, is := strings.Cut(text, "=")
		if !is && len(out) == 0 {
			return nil, &access.FieldError{Field: "oidc.scopes", Value: fmt.Sprintf("%.64q", text),
				Allowed: RuleAllowed}
		}

		value, scopes := "", text
		if is {
			value, scopes, _ = strings.Cut(rest, ":")
			if claim == "" || value == "" {
				return nil, &access.FieldError{Field: "oidc.scopes", Value: fmt.Sprintf("%.64q", text),
					Allowed: RuleAllowed}
			}
			out = append(out, Rule{Claim: claim, Value: value})
		}
		more, err := access.ParseScopes(strings.Split(scopes, ","))
		if err != nil || len(more) == 0 {
			return nil, &access.FieldError{Field: "oidc.scopes", Value: fmt.Sprintf("%.64q", text),
				Allowed: RuleAllowed + "; scopes are " + access.ScopesAllowed()}
		}
		last := &out[len(out)-1]
		last.Scopes = append(last.Scopes, more...)
	}
	return out, nil
}

// scopesOf are the scopes that claims have by some rules, in the usual order.
func scopesOf(rules []Rule, claims map[string]any) access.Scopes {
	var names []string
	for _, r := range rules {
		if slices.Contains(texts(claims[r.Claim]), r.Value) {
			for _, s := range r.Scopes {
				names = append(names, string(s))
			}
		}
	}
	out, _ := access.ParseScopes(names) // of rules, which have been read
	return out
}

// texts are the texts of a claim: one, or a list. Anything else, such as a number, has none: what a
// rule compares has to be equal byte for byte.
func texts(claim any) []string {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		var out []string
		for _, x := range c {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
