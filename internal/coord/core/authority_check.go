package core

import (
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
)

// check reports whether an authority is one that may be kept, wherever it comes from: from a
// command of a leader, from the log, or from a snapshot that somebody has edited.
func (a *Authority) check() error {
	if a == nil {
		return nil
	}
	for _, c := range []struct {
		field   string
		n, most int
	}{{"cas", len(a.CAs), casKept}, {"tokens", len(a.Tokens), tokensKept},
		{"issued", len(a.Issued), issuedKept}, {"denied", len(a.Denied), deniedKept}} {
		if c.n > c.most {
			return wrongAuthority(c.field, fmt.Sprint(c.n), fmt.Sprintf("up to %d", c.most))
		}
	}

	// Certificates are read when they are used: what one program can read, another may not.
	if len(a.CAs) > 0 && job.CheckName("cluster", a.Cluster) != nil {
		return wrongAuthority("cluster", fmt.Sprintf("%.64q", a.Cluster), job.NameAllowed)
	}

	for _, c := range a.CAs {
		for _, text := range []string{c.Cert, c.Key, c.Cross} {
			if len(text) > pemKept || text != "" && !strings.HasPrefix(text, "-----BEGIN ") {
				return wrongAuthority("cas", "no PEM", "certificates and keys in PEM")
			}
		}
	}

	return a.checkNames()
}

// checkNames wants names that can be parts of certificates, and hashes that are some.
func (a *Authority) checkNames() error {
	var ids []Issue
	for _, t := range a.Tokens {
		ids = append(ids, Issue{Role: t.Role, Name: t.Name, Key: t.Hash, CA: t.Hash})
		for _, name := range []string{t.For, t.By} {
			if name != "" && job.CheckName("name", name) != nil {
				return wrongAuthority("tokens", fmt.Sprintf("%.64q", name), job.NameAllowed)
			}
		}
	}

	// Of who was revoked no key is kept.
	for _, d := range a.Denied {
		ids = append(ids, Issue{Role: d.Role, Name: d.Name, Key: noHash, CA: noHash})
	}

	for _, i := range append(ids, a.Issued...) {
		if _, err := pki.ParseRole(string(i.Role)); err != nil || job.CheckName("name", i.Name) != nil {
			return wrongAuthority("name", fmt.Sprintf("%.32q %.64q", i.Role, i.Name),
				"a role, and a name of "+job.NameAllowed)
		}
		if !isHash(i.Key) || !isHash(i.CA) {
			return wrongAuthority("key", fmt.Sprintf("%.70q", i.Key), "64 hex digits")
		}
	}

	return nil
}

// noHash stands for one where none is kept.
var noHash = strings.Repeat("0", 64)

// isHash reports whether s is a SHA-256 in hex.
func isHash(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// wrongAuthority says which field of an authority is wrong.
func wrongAuthority(field, value, allowed string) error {
	return &job.FieldError{Field: "authority." + field, Value: value, Allowed: allowed}
}
