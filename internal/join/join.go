package join

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/userfile"
)

// Options say who joins which cluster.
type Options struct {
	Token        string
	Coordinators []string // https URLs, of which one has to answer
	Dir          string   // of certificates; it is made
	Role         pki.Role
	Name         string
	Hosts        []string // of a coordinator: names and addresses by which clients reach it
	Log          *slog.Logger
}

// BadInputError is a mistake in the options: nothing was asked of anybody.
type BadInputError struct{ Err error }

// Error implements error.
func (e *BadInputError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *BadInputError) Unwrap() error { return e.Err }

// BadInput reports that what was asked for is wrong, not what was tried.
func (e *BadInputError) BadInput() bool { return true }

// Join gets a process its first certificate, unless the folder has one that is good: so a service
// may start with the same command every time, and the token counts once. The error of a coordinator
// that refuses is a *RefusedError.
func Join(ctx context.Context, o Options) error {
	if _, err := pki.LoadAs(o.Dir, o.Role); err == nil {
		o.Log.Info("the token is not needed: there is a certificate already", "dir", o.Dir)
		return nil
	}
	token, addrs, err := o.check()
	if err != nil {
		return &BadInputError{err}
	}

	// The key is on the disk before anybody is asked: an answer may be lost, and the certificate in
	// it is of no use without the key.
	key, err := o.key()
	if err != nil {
		return err
	}

	// A coordinator that cannot be reached, or is not the one that the token names, may have a
	// neighbour that can; one that says no speaks for all.
	var errs []error
	for n, addr := range addrs {
		err := o.joinAt(ctx, base(o.Coordinators[n]), addr, token, key)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("cannot join at %s: %w%s", base(o.Coordinators[n]), err,
			remedy(err, o.Role)))
		if refusal(err) || ctx.Err() != nil {
			break
		}
	}

	return errors.Join(errs...)
}

// check returns the token, and the host:port of each coordinator. What is wrong here is the
// caller's mistake, found before anybody is asked.
func (o Options) check() (t pki.Token, addrs []string, err error) {
	if t, err = pki.ParseToken(strings.TrimSpace(o.Token)); err != nil {
		return t, nil, err
	}
	if o.Dir == "" {
		return t, nil, errors.New("tls.dir is not set; allowed with join: a folder, in which the " +
			"certificate is kept")
	}
	if len(o.Coordinators) == 0 {
		return t, nil, errors.New("coordinator is not set; allowed with join: the https URL of a " +
			"coordinator")
	}
	if err := job.CheckName("name", o.Name); err != nil {
		return t, nil, err
	}

	for _, text := range o.Coordinators {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" {
			return t, nil, fmt.Errorf("coordinator is %.128q; allowed: a URL such as https://c1:8080", text)
		}

		port := u.Port()
		if port == "" {
			port = "443"
		}
		addrs = append(addrs, net.JoinHostPort(u.Hostname(), port))
	}

	return t, addrs, nil
}

// key returns the process's key, as PEM. One that is there without a certificate is of a try whose
// answer was lost: the same key may use the same token again.
func (o Options) key() ([]byte, error) {
	path := filepath.Join(o.Dir, pki.KeyFile)
	if _, err := os.Stat(filepath.Join(o.Dir, pki.CertFile)); errors.Is(err, fs.ErrNotExist) {
		if key, err := userfile.Read(path, fileMax); err == nil {
			return key, nil
		}
	}

	key, err := pki.NewKey()
	if err != nil {
		return nil, err
	}

	// The certificate of another key goes first, so that the folder never has two that do not fit.
	if err := os.Remove(filepath.Join(o.Dir, pki.CertFile)); !errors.Is(err, fs.ErrNotExist) &&
		err != nil {
		return nil, err
	}

	return key, pki.Write(o.Dir, key, nil, nil)
}

// joinAt asks one coordinator. The first handshake shows whether the token's CA stands for it, and
// what the cluster is called; then the token is sent, and only to that cluster.
func (o Options) joinAt(ctx context.Context, url, addr string, t pki.Token, key []byte) error {
	found, err := pki.Pin(ctx, addr, t)
	if err != nil {
		return err
	}

	// A host that cannot be in a certificate shows here, before the token is sent.
	id := pki.ID{Cluster: found.Cluster, Role: o.Role, Name: o.Name}
	csr, err := pki.NewRequest(id, o.Hosts, key)
	if err != nil {
		return &BadInputError{err}
	}

	var got pki.Certified
	q := pki.JoinRequest{Secret: t.Secret(), CSR: string(csr)}
	if err := newAsker(found.Client()).ask(ctx, "POST", url+"/v1/pki/join", q, &got); err != nil {
		return err
	}

	// What came is looked at before it replaces anything.
	cas, err := pki.ParseCAs([]byte(got.CAs))
	if err != nil {
		return fmt.Errorf("cannot use the CAs of the answer: %w", err)
	}

	pinned := func(c *x509.Certificate) bool { return pki.Fingerprint(c) == t.CA }
	if !slices.ContainsFunc(cas, pinned) {
		return fmt.Errorf("the answer does not have the CA that the token names, %s",
			hex.EncodeToString(t.CA[:]))
	}

	// The file first: without it a certificate would never be renewed.
	f := File{Coordinators: got.Coordinators, Control: got.Control}
	if len(f.Coordinators) == 0 {
		f.Coordinators = o.Coordinators
	}
	if err := f.Write(o.Dir); err != nil {
		return err
	}
	if err := pki.Write(o.Dir, nil, []byte(got.Certificate), []byte(got.CAs)); err != nil {
		return err
	}

	_, err = pki.LoadAs(o.Dir, o.Role)
	return err
}
