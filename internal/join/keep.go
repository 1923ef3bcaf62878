package join

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/longtake/longtake/internal/pki"
)

const (
	// How often a process asks whom to believe. With it a new CA, and a revocation, are known
	// everywhere within a minute or so; a question costs a handshake.
	askEvery = time.Minute
	// The least of it, for certificates that are valid for minutes.
	askLeast = time.Second
	// Before the first question: a coordinator has just started, and elects a leader.
	startWait = 5 * time.Second
	// How often an ERROR repeats that the certificate has run out.
	cryEvery = time.Minute
)

// Keeper renews a process's certificate while it runs, and follows whom the cluster believes.
//
// It asks about once a minute, and renews after two thirds of the certificate's life or as soon as
// another CA signs. Whatever fails is tried again with the next question: of a day there are eight
// hours left then. Nothing of it disturbs what runs: connections that are open stay open, and new
// ones show what is in the folder.
type Keeper struct {
	// Own is the identity, whose folder is written.
	Own *pki.Identity
	// Coordinators are URLs to ask besides those of the folder's file; nil: none.
	Coordinators func() []string
	// Deny has the process itself refuse who was revoked. A coordinator knows that from Raft.
	Deny bool
	Log  *slog.Logger

	every time.Duration // between two questions; 0: by the certificate's life
	ask   asker
	said  string    // the latest trouble that was logged
	cried time.Time // when it was last said that the certificate has run out
}

// Keep renews the certificate until ctx ends. A folder without a File is not longtake's to renew:
// then it returns at once.
func (k *Keeper) Keep(ctx context.Context) {
	if _, ok, err := ReadFile(k.Own.Dir()); !ok {
		if err != nil {
			k.Log.Error("certificates are not renewed", "error", err)
		}
		return
	}

	// Which certificate it shows and whom it believes is decided with each question.
	k.ask = newAsker(k.Own.Client(pki.RoleCoordinator))
	wait := min(k.interval(), startWait)
	for {
		// Spread, so that a thousand shards that were started together do not ask together.
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))):
		}
		if k.report(k.once(ctx)); ctx.Err() != nil {
			return
		}
		wait = k.interval()
	}
}

// interval is the time between two questions.
func (k *Keeper) interval() time.Duration {
	if k.every > 0 {
		return k.every
	}
	leaf := k.Own.Leaf()
	return max(askLeast, min(askEvery, leaf.NotAfter.Sub(leaf.NotBefore)/20))
}

// report logs what went wrong, each trouble once. A certificate that has run out is said again and
// again: the process can do nothing any more.
func (k *Keeper) report(err error) {
	leaf := k.Own.Leaf()
	if now := time.Now(); now.After(leaf.NotAfter) {
		if now.Sub(k.cried) >= cryEvery {
			k.cried = now
			k.Log.Error("the certificate has run out, so nobody talks to this process; it goes on asking. "+
				"If no coordinator can renew it, join again: longtake pki token",
				"id", k.Own.ID().URI(), "at", leaf.NotAfter.UTC(), "error", err)
		}
		return
	}

	// A coordinator that is away for a moment is no news for long.
	text := ""
	if err != nil {
		if text = err.Error(); text != k.said {
			k.Log.Warn("cannot ask the coordinators about certificates; it is tried again",
				"valid_until", leaf.NotAfter.UTC(), "error", err)
		}
	}
	k.said = text
}

// once asks one coordinator after the other until one answers.
func (k *Keeper) once(ctx context.Context) error {
	f, _, err := ReadFile(k.Own.Dir())
	if err != nil {
		return err
	}
	urls := f.Coordinators
	if k.Coordinators != nil {
		urls = append(k.Coordinators(), urls...)
	}
	if len(urls) == 0 {
		return errors.New("no coordinator is known")
	}

	// A follower sends on what only the leader can do.
	var errs []error
	for _, url := range urls {
		if err = k.askOne(ctx, base(url), f); err == nil || ctx.Err() != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", base(url), err))
	}

	return errors.Join(errs...)
}

// askOne asks whom to believe, and for the next certificate if it is time.
func (k *Keeper) askOne(ctx context.Context, url string, f File) error {
	var b pki.Bundle
	if err := k.ask.ask(ctx, "GET", url+"/v1/pki/bundle", nil, &b); err != nil {
		return err
	}
	cas, err := pki.ParseCAs([]byte(b.CAs))
	if err != nil {
		return fmt.Errorf("cannot use the CAs of the answer: %w", err)
	}

	// A shard hears of revocations here alone. The list is whole, so one that was taken back counts
	// no more.
	if k.Deny {
		denied := map[string]bool{}
		for _, uri := range b.Denied {
			denied[uri] = true
		}
		k.Own.Deny(func(id pki.ID) bool { return denied[id.URI()] })
	}

	// The next certificate before the CAs: one that is about to be dropped may have signed this one.
	var cert []byte
	if f.First || k.due(cas, b.Signer, time.Now()) {
		if cert, err = k.renew(ctx, url, &b); err != nil {
			return err
		}
	}

	return k.store(b, cert, f)
}

// due reports whether it is time for another certificate: after two thirds of this one's life, or
// as soon as another CA signs.
func (k *Keeper) due(cas []*x509.Certificate, signer string, now time.Time) bool {
	leaf := k.Own.Leaf()
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if now.After(leaf.NotBefore.Add(life / 3 * 2)) {
		return true
	}
	for _, ca := range cas {
		if sum := pki.Fingerprint(ca); hex.EncodeToString(sum[:]) == signer {
			return !bytes.Equal(leaf.AuthorityKeyId, ca.SubjectKeyId)
		}
	}
	return false
}

// renew asks for the next certificate, with the same key. So one file changes, and no crash leaves
// a key without its certificate; a key that may be known to others goes by a new token.
func (k *Keeper) renew(ctx context.Context, url string, b *pki.Bundle) ([]byte, error) {
	csr, err := k.Own.Request()
	if err != nil {
		return nil, err
	}
	var got pki.Certified
	err = k.ask.ask(ctx, "POST", url+"/v1/pki/renew", pki.RenewRequest{CSR: string(csr)}, &got)
	if err != nil {
		return nil, fmt.Errorf("cannot renew the certificate: %w", err)
	}
	*b = got.Bundle
	return []byte(got.Certificate), nil
}

// store writes what is new, and nothing where all is as it was: after each write the next handshake
// reads the files again. What the process could not use is not written: at its next start it
// would have nothing.
func (k *Keeper) store(b pki.Bundle, cert []byte, f File) error {
	if err := k.Own.Usable(cert, []byte(b.CAs)); err != nil {
		return fmt.Errorf("cannot use the certificates of the answer: %w", err)
	}

	cas := []byte(b.CAs)
	if bytes.Equal(cas, pki.EncodeCerts(k.Own.CAs()...)) {
		cas = nil
	}

	// Whoever reads the folder in between has the new CAs with the old certificate, which fit.
	if cert != nil || cas != nil {
		if err := pki.Write(k.Own.Dir(), nil, cert, cas); err != nil {
			return err
		}
	}

	now := File{Coordinators: b.Coordinators, Control: b.Control}
	if len(now.Coordinators) > 0 && !now.equal(f) {
		return now.Write(k.Own.Dir())
	}

	return nil
}
