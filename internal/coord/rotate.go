package coord

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
)

// VoidToken implements Certificates. A token that was used is gone from the list then; the
// certificate that it gave stays good: Revoke is for that.
func (c *Coordinator) VoidToken(ctx context.Context, id string) error {
	return c.changeAuthority(ctx, core.AuthorityChange{Void: id})
}

// Revoke implements Certificates. It holds for the name, not for a certificate: whoever has a
// stolen one cannot have it renewed, and a machine that is clean again gets its name back with
// undo.
func (c *Coordinator) Revoke(ctx context.Context, d schema.Denied, undo bool) error {
	role, err := pki.ParseRole(d.Role)
	if err != nil {
		return &job.FieldError{Field: "role", Value: fmt.Sprintf("%.32q", d.Role),
			Allowed: "coordinator, shard"}
	}
	if err := job.CheckName("name", d.Name); err != nil {
		return err
	}

	denial := &core.Denial{Role: role, Name: d.Name, At: c.cfg.Now().UTC().Round(0)}

	// A leader that revoked itself could not take it back.
	if undo {
		return c.changeAuthority(ctx, core.AuthorityChange{Allow: denial})
	}
	if role == pki.RoleCoordinator && d.Name == c.cfg.ID {
		return &job.FieldError{Field: "name", Value: d.Name,
			Allowed: "another coordinator than the leader; transfer the leadership first"}
	}

	return c.changeAuthority(ctx, core.AuthorityChange{Deny: denial})
}

// Rotate implements Certificates. Of the CA that signed until now nothing but the certificate is
// kept: its key signs the new one, and is not needed again.
func (c *Coordinator) Rotate(ctx context.Context, drop bool) (schema.Authority, error) {
	if err := c.leading(); err != nil {
		return schema.Authority{}, err
	}
	s, a, err := c.signer()
	if err != nil {
		return schema.Authority{}, err
	}

	if drop {
		if err := c.changeAuthority(ctx, core.AuthorityChange{Drop: true}); err != nil {
			return schema.Authority{}, err
		}
		return c.Authority(ctx)
	}

	// Of two CAs before it a process might know the older one alone, to which nothing leads.
	if len(a.CAs) > 1 {
		return schema.Authority{}, fmt.Errorf("%w until %s; longtake pki rotate --drop drops it now",
			ErrRotating, neededUntil(a, 0).Format(time.RFC3339))
	}

	next, err := s.Next(a.Cluster, c.cfg.Now())
	if err != nil {
		return schema.Authority{}, err
	}

	// Its key goes into the log, and replaces the one that signed until now.
	cert, key, err := next.Encode()
	if err != nil {
		return schema.Authority{}, err
	}

	ca := &core.CA{Cert: string(cert), Key: string(key), Cross: string(pki.EncodeCerts(next.Cross)),
		Since: c.cfg.Now().UTC().Round(0)}
	if err := c.changeAuthority(ctx, core.AuthorityChange{Rotate: ca}); err != nil {
		return schema.Authority{}, err
	}
	c.log.Info("another CA signs from now on", "sha256", hexOf(next.Cert))
	return c.Authority(ctx)
}

// Authority implements Certificates. Only the leader's list is complete at any time.
func (c *Coordinator) Authority(context.Context) (schema.Authority, error) {
	if err := c.leading(); err != nil {
		return schema.Authority{}, err
	}
	out := schema.Authority{CAs: []schema.CA{}, Issued: []schema.Issued{},
		Tokens: []schema.JoinToken{}, Denied: []schema.Denied{}}
	a := c.authority.Load()
	if a == nil {
		a = &core.Authority{}
	}
	if out.Cluster = a.Cluster; out.Cluster == "" && c.cfg.Identity != nil {
		out.Cluster = c.cfg.Identity.ID().Cluster
	}

	for n, ca := range a.CAs {
		cas, err := pki.ParseCAs([]byte(ca.Cert))
		if err != nil {
			return out, fmt.Errorf("cannot read the CA: %w", err)
		}
		show := schema.CA{SHA256: hexOf(cas[0]), Since: ca.Since, Expires: cas[0].NotAfter.UTC(),
			Signs: n == len(a.CAs)-1}
		if !show.Signs {
			show.Needed = neededUntil(a, n)
		}
		out.CAs = append(out.CAs, show)
	}

	for _, i := range a.Issued {
		out.Issued = append(out.Issued, schema.Issued{Role: string(i.Role), Name: i.Name, CA: i.CA,
			Expires: i.Until, Revoked: a.IsDenied(i.Role, i.Name)})
	}

	// Of tokens there is what their owners know, but for the text.
	for _, t := range a.Tokens {
		out.Tokens = append(out.Tokens, tokenOf(t))
	}

	for _, d := range a.Denied {
		out.Denied = append(out.Denied, schema.Denied{Role: string(d.Role), Name: d.Name, At: d.At})
	}

	return out, nil
}

// neededUntil is until when certificates of a CA are valid that nobody has renewed yet. Those that
// pki init has signed are in no list.
func neededUntil(a *core.Authority, n int) time.Time {
	until := a.CAs[n].Since
	if n == 0 {
		until = until.Add(pki.FirstLife)
	}

	// Each process has one certificate that counts here: the latest.
	sum := hexOfPEM(a.CAs[n].Cert)
	for _, i := range a.Issued {
		if i.CA == sum && i.Until.After(until) {
			until = i.Until
		}
	}
	return until
}

// hexOf is the SHA-256 of a certificate, as tokens and answers have it.
func hexOf(cert *x509.Certificate) string {
	sum := pki.Fingerprint(cert)
	return hex.EncodeToString(sum[:])
}

// hexOfPEM is the SHA-256 of a CA as the log has it; "" if it cannot be read.
func hexOfPEM(text string) string {
	cas, err := pki.ParseCAs([]byte(text))
	if err != nil {
		return ""
	}
	return hexOf(cas[0])
}
