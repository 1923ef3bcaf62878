package core

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/pki"
)

// Authority is what the cluster knows of its certificates: the CAs that count, with the key of the
// one that signs, tokens with which processes may join, what was signed, and who was revoked. It is
// in Raft, so every coordinator can sign after a failover, and a token that was used is used
// everywhere. A cluster whose certificates come from elsewhere has no CAs here. It is never written
// through, only replaced.
type Authority struct {
	Cluster string      `json:"cluster,omitempty"`
	CAs     []CA        `json:"cas,omitempty"` // the last one signs
	Tokens  []JoinToken `json:"tokens,omitempty"`
	Issued  []Issue     `json:"issued,omitempty"`
	Denied  []Denial    `json:"denied,omitempty"`
}

type (
	// CA is a certificate that counts, all in PEM.
	CA struct {
		Cert  string    `json:"cert"`
		Key   string    `json:"key,omitempty"`   // of the one that signs; none is in saved snapshots
		Cross string    `json:"cross,omitempty"` // the same CA, signed by the one before it
		Since time.Time `json:"since"`
	}
	// JoinToken lets one process join. Its secret is known to who has it alone.
	JoinToken struct {
		Name    string    `json:"name"` // for people
		Hash    string    `json:"hash"` // SHA-256 of the secret, in hex
		Role    pki.Role  `json:"role"`
		For     string    `json:"for,omitempty"` // the name that may be taken; "": any that is free
		Expires time.Time `json:"expires"`
		// Used, Key and By say when it was used, with which key and by whom. The same key may use it
		// again, as the answer may have been lost.
		Used time.Time `json:"used,omitzero"`
		Key  string    `json:"key,omitempty"`
		By   string    `json:"by,omitempty"`
	}
	// Issue is a certificate that was signed: the latest of its name.
	Issue struct {
		Role  pki.Role  `json:"role"`
		Name  string    `json:"name"`
		Key   string    `json:"key"` // SHA-256 of its public key, in hex
		CA    string    `json:"ca"`  // SHA-256 of the CA that signed, in hex
		Until time.Time `json:"until"`
	}
	// Denial revokes an identity, whichever certificates it has.
	Denial struct {
		Role pki.Role  `json:"role"`
		Name string    `json:"name"`
		At   time.Time `json:"at"`
	}
)

// Limits of an authority. A cluster of a thousand shards has as many certificates, and a rack that
// is installed some hundreds of tokens; all of it is copied with each change, and is in snapshots.
const (
	casKept    = 8
	tokensKept = 256
	issuedKept = 8192
	deniedKept = 4096
	pemKept    = 8 << 10 // bytes of a certificate or a key
)

// AuthorityChange is one change of an authority; the field that is set says which. Whoever commits
// it has looked at the certificates in it: here they are texts.
type AuthorityChange struct {
	Cluster string     `json:"cluster,omitempty"` // of Found
	Found   *CA        `json:"found,omitempty"`   // the first CA, or its key where that is missing
	Rotate  *CA        `json:"rotate,omitempty"`  // one that signs from now on
	Drop    bool       `json:"drop,omitempty"`    // all CAs but the one that signs
	Token   *JoinToken `json:"token,omitempty"`
	Void    string     `json:"void,omitempty"`  // the name of a token that is not to be used
	Join    *Issue     `json:"join,omitempty"`  // with the token of Hash
	Hash    string     `json:"hash,omitempty"`  // of Join
	Renew   *Issue     `json:"renew,omitempty"` // by who has a certificate
	Deny    *Denial    `json:"deny,omitempty"`
	Allow   *Denial    `json:"allow,omitempty"` // takes a denial back
}

// Errors of authorities.
var (
	// ErrNoAuthority: the certificates of this cluster come from elsewhere.
	ErrNoAuthority = errors.New("this cluster has no CA of its own: its certificates come from " +
		"another PKI, which has to issue this one, too")
	// ErrToken: the token cannot be used. Which of the reasons it is matters to nobody who has a good
	// one, and is told all the same: operators mistype.
	ErrToken = errors.New("the token cannot be used")
	// ErrDenied: the identity was revoked.
	ErrDenied = errors.New("the identity was revoked; longtake pki revoke --undo lets it in again")
	// ErrNameTaken: another process has a valid certificate of that name.
	ErrNameTaken = errors.New("another process has this name")
)

// Authority returns what is known of certificates, nil if nothing is. The caller must not change
// it.
func (m *Machine) Authority() *Authority { return m.state.authority }

// keepAuthority gives a machine that was read from a saved snapshot, which has no keys, the
// authority of the cluster that it is restored into.
func (m *Machine) keepAuthority(a *Authority) {
	if a != nil {
		m.state.authority = a
		m.state.version = max(m.state.version, since[kindAuthority])
	}
}

// public returns an authority without the keys of CAs, for operators to save.
func (a *Authority) public() *Authority {
	if a == nil {
		return nil
	}
	out := a.clone()
	for i := range out.CAs {
		out.CAs[i].Key = ""
	}
	return out
}

// ChangeAuthority commits a change. The error is one of those above, or says what is wrong.
func (c *Core) ChangeAuthority(change AuthorityChange) error {
	_, err := c.commit(command{Kind: kindAuthority, Authority: &change})
	return err
}

// IsDenied reports whether an identity was revoked.
func (a *Authority) IsDenied(role pki.Role, name string) bool {
	return a != nil && slices.ContainsFunc(a.Denied, func(d Denial) bool {
		return d.Role == role && d.Name == name
	})
}

// Signer returns the CA that signs; false where the cluster has none. Its key may be missing: then
// the state was restored into a new cluster, and pki init's file has to bring it.
func (a *Authority) Signer() (CA, bool) {
	if a == nil || len(a.CAs) == 0 {
		return CA{}, false
	}
	return a.CAs[len(a.CAs)-1], true
}

// clone copies what a change may change: what handshakes and snapshots hold stays as it was.
func (a *Authority) clone() *Authority {
	if a == nil {
		return &Authority{}
	}
	return &Authority{a.Cluster, slices.Clone(a.CAs), slices.Clone(a.Tokens), slices.Clone(a.Issued),
		slices.Clone(a.Denied)}
}

// changeAuthority applies a change, or refuses it and changes nothing.
func (s *state) changeAuthority(c command) error {
	if c.Authority == nil {
		return fmt.Errorf("cannot apply an incomplete %s command", c.Kind)
	}

	a := s.authority.clone()
	if err := a.apply(*c.Authority, c.Now); err != nil {
		return err
	}
	a.forget(c.Now)
	if err := a.check(); err != nil {
		return err
	}
	s.authority = a
	return nil
}

// apply makes one change at a time. It has no other time than the command's, draws nothing, and
// trusts no text in the command: what was signed is only noted here, so a coordinator that could
// not read a certificate would come to the same state.
func (a *Authority) apply(c AuthorityChange, now time.Time) error {
	switch {
	case c.Found != nil:
		return a.found(c.Cluster, *c.Found)
	case c.Rotate != nil:
		return a.rotate(*c.Rotate)
	case c.Drop && len(a.CAs) > 0:
		a.CAs = a.CAs[len(a.CAs)-1:]
	case c.Token != nil && len(a.CAs) == 0, c.Drop:
		return ErrNoAuthority
	case c.Token != nil:
		return a.addToken(*c.Token)
	case c.Void != "":
		return a.void(c.Void)

	// What is signed.
	case c.Join != nil:
		return a.join(c.Hash, *c.Join, now)
	case c.Renew != nil:
		return a.renew(*c.Renew, now)

	// Who was revoked. To revoke again changes nothing.
	case c.Deny != nil && !a.IsDenied(c.Deny.Role, c.Deny.Name):
		a.Denied = append(a.Denied, *c.Deny)
	case c.Allow != nil:
		a.Denied = slices.DeleteFunc(a.Denied, func(d Denial) bool {
			return d.Role == c.Allow.Role && d.Name == c.Allow.Name
		})
	case c.Deny == nil:
		return fmt.Errorf("cannot apply an incomplete %s command", kindAuthority)
	}

	return nil
}

// found takes the first CA in, or the key of the one that signs where a restored snapshot has none.
// Another CA than the one that is there is refused: whoever has an admin's rights rotates.
func (a *Authority) found(cluster string, ca CA) error {
	last, ok := a.Signer()
	switch {
	case !ok:
		a.Cluster, a.CAs = cluster, []CA{ca}
	case last.Cert == ca.Cert && last.Key == "":
		a.CAs[len(a.CAs)-1].Key = ca.Key
	case last.Cert != ca.Cert:
		return errors.New("cannot found an authority: the cluster has another CA")
	}
	return nil
}

// rotate has another CA sign. Tokens pin the CA before it, so they are gone.
func (a *Authority) rotate(ca CA) error {
	if len(a.CAs) == 0 {
		return ErrNoAuthority
	}
	a.CAs[len(a.CAs)-1].Key = "" // it never signs again
	a.CAs, a.Tokens = append(a.CAs, ca), nil
	return nil
}

// addToken takes a token in. Its name is drawn by whoever commits it, and so is unique, as is the
// secret; both are compared all the same, as the log may have been tampered with.
func (a *Authority) addToken(t JoinToken) error {
	for _, o := range a.Tokens {
		if o.Name == t.Name || o.Hash == t.Hash {
			return fmt.Errorf("cannot add token %.64q: there is one of that name", t.Name)
		}
	}
	if len(a.Tokens) >= tokensKept {
		return fmt.Errorf("cannot add a token: %d are there; wait until some expire, or revoke them",
			len(a.Tokens))
	}
	a.Tokens = append(a.Tokens, t)
	return nil
}

// void takes a token back. That it was used already is no error: then it lets nobody in either.
func (a *Authority) void(name string) error {
	n := len(a.Tokens)
	a.Tokens = slices.DeleteFunc(a.Tokens, func(t JoinToken) bool { return t.Name == name })
	if len(a.Tokens) == n {
		return fmt.Errorf("token %.64q: %w", name, ErrNotFound)
	}
	return nil
}

// join spends a token on a certificate.
func (a *Authority) join(hash string, i Issue, now time.Time) error {
	at := slices.IndexFunc(a.Tokens, func(t JoinToken) bool { return t.Hash == hash })
	if at < 0 {
		return fmt.Errorf("%w: it is not known, or it has expired", ErrToken)
	}

	// What it is for, in the order in which an operator would look.
	t := a.Tokens[at]
	switch {
	case !now.Before(t.Expires):
		return fmt.Errorf("%w: it expired at %s", ErrToken, t.Expires.UTC().Format(time.RFC3339))
	case t.Role != i.Role:
		return fmt.Errorf("%w: it is for a %s, not for a %s", ErrToken, t.Role, i.Role)
	case t.For != "" && t.For != i.Name:
		return fmt.Errorf("%w: it is for %s, not for %s", ErrToken, t.For, i.Name)
	case !t.Used.IsZero() && (t.Key != i.Key || t.By != i.Name):
		return fmt.Errorf("%w: it was used at %s, by %s", ErrToken, t.Used.UTC().Format(time.RFC3339),
			t.By)
	}

	if err := a.issue(i, now, t.For == i.Name); err != nil {
		return err
	}
	if t.Used.IsZero() {
		a.Tokens[at].Used, a.Tokens[at].Key, a.Tokens[at].By = now, i.Key, i.Name
	}

	return nil
}

// renew notes another certificate of who has one. One that is in no list is taken in: pki init has
// signed it, or a snapshot from before it was restored.
func (a *Authority) renew(i Issue, now time.Time) error {
	if len(a.CAs) == 0 {
		return ErrNoAuthority
	}
	return a.issue(i, now, false)
}

// issue notes a certificate. A name belongs to one key as long as a certificate of it is valid,
// unless a token names it.
func (a *Authority) issue(i Issue, now time.Time, named bool) error {
	if a.IsDenied(i.Role, i.Name) {
		return fmt.Errorf("%s %s: %w", i.Role, i.Name, ErrDenied)
	}

	at := slices.IndexFunc(a.Issued, func(o Issue) bool {
		return o.Role == i.Role && o.Name == i.Name
	})
	if at < 0 {
		if len(a.Issued) >= issuedKept {
			return fmt.Errorf("cannot note a certificate: %d are valid", len(a.Issued))
		}
		a.Issued = append(a.Issued, i)
		return nil
	}

	// Another key under the same name is another process, or the same one without its disk.
	if o := a.Issued[at]; o.Key != i.Key && !named && now.Before(o.Until) {
		return fmt.Errorf("%w: %s %s until %s; allowed: another name, or a token that was made with "+
			"--name %s", ErrNameTaken, i.Role, i.Name, o.Until.UTC().Format(time.RFC3339), i.Name)
	}
	a.Issued[at] = i
	return nil
}

// forget drops what has run out. A token stays for an hour, so that its owner learns why it is
// refused.
func (a *Authority) forget(now time.Time) {
	a.Tokens = slices.DeleteFunc(a.Tokens, func(t JoinToken) bool {
		return now.After(t.Expires.Add(time.Hour))
	})
	a.Issued = slices.DeleteFunc(a.Issued, func(i Issue) bool { return now.After(i.Until) })
}
