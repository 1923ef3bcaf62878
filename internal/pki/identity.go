package pki

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// The files of a folder with an identity: those of a Kubernetes secret of type kubernetes.io/tls.
const (
	CAFile   = "ca.crt"  // PEM certificates of the CAs that count, one or several
	CertFile = "tls.crt" // PEM certificate of the process, and those between it and a CA
	KeyFile  = "tls.key" // PEM private key; others must not be able to read it
)

// Identity is a certificate, its key and the CAs that count, as they are now. It is safe for
// concurrent use. Configurations that it gives out stay true to it: what changes in the folder
// changes what they show and whom they believe.
type Identity struct {
	dir string
	now func() time.Time

	mu      sync.Mutex // guards what follows
	have    *material
	seen    []fs.FileInfo // of the files that have was read from
	trouble string        // why what is there now is not used; "": it is
	told    map[Reason]*tale
	log     *slog.Logger

	denied  atomic.Pointer[func(ID) bool]
	refused atomic.Pointer[func(*Refusal)]
}

// material is what was read of a folder; it never changes.
type material struct {
	id    ID
	cert  tls.Certificate
	cas   []*x509.Certificate
	roots *x509.CertPool
}

// Load reads the identity in a folder. The error says what is wrong: a file that is missing or that
// others may read, a key that does not fit, a certificate that has run out, that no CA of ca.crt
// has signed or that has no URI of longtake. From then on the folder is followed: what is valid
// there replaces what was read before, and what is not is logged and left.
func Load(dir string) (*Identity, error) { return load(dir, time.Now) }

// load is Load by a clock.
func load(dir string, now func() time.Time) (*Identity, error) {
	i := &Identity{dir: dir, now: now, log: slog.New(slog.DiscardHandler),
		told: map[Reason]*tale{}}
	i.seen = i.look()
	have, err := readMaterial(dir, now())
	if err != nil {
		return nil, err
	}
	i.have = have
	return i, nil
}

// LoadAs is Load for a process of a role. Certificates of another one are refused: peers would
// refuse them, too, each with an error that is farther from the cause.
func LoadAs(dir string, role Role) (*Identity, error) {
	i, err := Load(dir)
	if err != nil {
		return nil, err
	}
	if id := i.ID(); id.Role != role {
		return nil, fmt.Errorf("cannot use %s: it is the certificate of a %s, %s; this process is a %s",
			filepath.Join(dir, CertFile), id.Role, id, role)
	}
	return i, nil
}

// Close ends the use of the identity, which may be nil. It holds nothing today; callers pair it
// with Load.
func (i *Identity) Close() error { return nil }

// Log has changes of the files reported to l. Before the first call nothing is.
func (i *Identity) Log(l *slog.Logger) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.log = l
}

// OnRefusal has f called for each peer that is refused, on the goroutine of its handshake, to count
// it. nil: nobody. What Log was given gets a line for each reason now and then.
func (i *Identity) OnRefusal(f func(*Refusal)) { i.refused.Store(&f) }

// Deny has handshakes refuse the identities for which f says yes: those that were revoked. f is
// called on the goroutines of handshakes.
func (i *Identity) Deny(f func(ID) bool) { i.denied.Store(&f) }

// Denied reports whether an identity was revoked, as far as this process knows.
func (i *Identity) Denied(id ID) bool {
	f := i.denied.Load()
	return f != nil && *f != nil && (*f)(id)
}

// Dir returns the folder.
func (i *Identity) Dir() string { return i.dir }

// ID returns whose identity this is.
func (i *Identity) ID() ID { return i.current().id }

// Leaf returns the certificate of the process. The caller must not change it.
func (i *Identity) Leaf() *x509.Certificate { return i.current().cert.Leaf }

// CAs returns the CAs that count. The caller must not change them.
func (i *Identity) CAs() []*x509.Certificate { return i.current().cas }

// Request returns a PEM request for the next certificate: of the same key, name and hosts.
func (i *Identity) Request() ([]byte, error) {
	m := i.current()
	signer, ok := m.cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("cannot ask for a certificate: the key is a %T", m.cert.PrivateKey)
	}
	leaf := m.cert.Leaf
	r := &Request{ID: m.id, DNS: leaf.DNSNames, IPs: leaf.IPAddresses}
	return r.signed(signer)
}

// Usable reports whether the process could go on with another certificate (PEM; nil: its own) and
// other CAs.
func (i *Identity) Usable(cert, cas []byte) error {
	m := *i.current()
	roots, err := ParseCAs(cas)
	if err != nil {
		return err
	}

	// Its own certificate has to be good with the new CAs, too.
	chain := append([]*x509.Certificate{m.cert.Leaf}, between(m.cert)...)
	if cert != nil {
		if chain, err = parseChain(cert); err != nil {
			return err
		}
		key, ok := m.cert.PrivateKey.(crypto.Signer)
		if !ok || !samePublic(chain[0].PublicKey, key.Public()) {
			return errors.New("the certificate is not of this process's key")
		}
	}

	m.roots = pool(roots)
	id, err := m.judge(chain, i.now())
	if err == nil && id != m.id {
		err = fmt.Errorf("the certificate is of %s; this process is %s", id, m.id)
	}

	return err
}

// samePublic compares public keys.
func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// current returns what is in the folder, or, while that is no valid identity of the same process,
// what was there before. Three calls of stat cost microseconds, and a handshake a millisecond: so
// no goroutine watches the folder, and what was written is in use with the next handshake.
func (i *Identity) current() *material {
	i.mu.Lock()
	defer i.mu.Unlock()

	seen := i.look()
	if same(seen, i.seen) {
		return i.have
	}

	// Files that are written one after the other may not fit each other for a moment. They are read
	// again with each handshake until they do.
	m, err := readMaterial(i.dir, i.now())
	if err == nil && m.id != i.have.id {
		err = fmt.Errorf("cannot use %s: it is of %s, and this process is %s",
			filepath.Join(i.dir, CertFile), m.id, i.have.id)
	}
	if err != nil {
		if text := err.Error(); text != i.trouble {
			i.trouble = text
			i.log.Warn("the certificate in use is kept, as what is in its folder now is not usable",
				"error", err)
		}
		return i.have
	}

	i.have, i.seen, i.trouble = m, seen, ""
	i.log.Info("certificates read", "id", m.id.URI(), "until", m.cert.Leaf.NotAfter.UTC(),
		"cas", len(m.cas))
	return m
}

// look returns what the system says of the files; nil for one that is not there. Links are
// followed, as cert-manager swaps a link to a folder with all three.
func (i *Identity) look() []fs.FileInfo {
	var out []fs.FileInfo
	for _, name := range []string{CAFile, CertFile, KeyFile} {
		info, err := os.Stat(filepath.Join(i.dir, name))
		if err != nil {
			info = nil
		}
		out = append(out, info)
	}
	return out
}

// same reports whether the files are those that were seen before: the same files on the disk, as
// large and as old. A file that is written in place within the resolution of its time, to the same
// size, would be missed; all that is known to write certificates replaces files.
func same(a, b []fs.FileInfo) bool {
	for n := range a {
		if a[n] == nil || b[n] == nil {
			if a[n] != b[n] {
				return false
			}
			continue
		}

		if !os.SameFile(a[n], b[n]) || a[n].Size() != b[n].Size() ||
			!a[n].ModTime().Equal(b[n].ModTime()) {
			return false
		}
	}
	return true
}
