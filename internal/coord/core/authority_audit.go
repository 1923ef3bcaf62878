package core

import (
	"time"

	"github.com/longtake/longtake/internal/job"
)

// auditAuthority describes a change of certificates. Of keys, tokens and requests there is nothing
// that anybody could use: names, times and what was done.
func auditAuthority(_ *state, c command, _ job.Record) (action, object string,
	details map[string]string) {
	a := c.Authority
	if a == nil {
		return "pki.change", "", nil
	}

	// Whose certificate, or which token: what an investigation looks for.
	switch {
	case a.Found != nil:
		return "pki.found", a.Cluster, nil
	case a.Rotate != nil:
		return "pki.rotate", "", nil
	case a.Drop:
		return "pki.drop", "", nil
	case a.Token != nil:
		return "pki.token", a.Token.Name, map[string]string{"role": string(a.Token.Role),
			"for": a.Token.For, "expires": a.Token.Expires.UTC().Format(time.RFC3339)}
	case a.Void != "":
		return "pki.void", a.Void, nil

	// The key's hash tells which machine it was, if two have had the name.
	case a.Join != nil:
		return "pki.join", string(a.Join.Role) + "/" + a.Join.Name, map[string]string{"key": a.Join.Key}
	case a.Renew != nil:
		return "pki.renew", string(a.Renew.Role) + "/" + a.Renew.Name, nil
	case a.Deny != nil:
		return "pki.revoke", string(a.Deny.Role) + "/" + a.Deny.Name, nil
	case a.Allow != nil:
		return "pki.allow", string(a.Allow.Role) + "/" + a.Allow.Name, nil
	}
	return "pki.change", "", nil
}
