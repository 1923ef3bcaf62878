package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/longtake/longtake/internal/userfile"
)

const (
	pemMax = 1 << 20 // bytes of a PEM file
	casMax = 64      // CAs in a bundle
)

// readMaterial reads a folder and checks that all of it fits together at a time: what it returns is
// what peers would believe, if they believe the same CAs.
func readMaterial(dir string, now time.Time) (*material, error) {
	key, keyPath, err := readKey(dir, KeyFile)
	if err != nil {
		return nil, err
	}

	certPath, caPath := filepath.Join(dir, CertFile), filepath.Join(dir, CAFile)
	cert, err := userfile.Read(certPath, pemMax)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate: %w", err)
	}

	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate %s with the key %s: %w", certPath, keyPath,
			err)
	}

	// The pair fits; now whom this process believes.
	cas, err := ReadCAs(caPath)
	if err != nil {
		return nil, err
	}

	// What peers would refuse is refused here, where the reason can be shown.
	m := &material{cert: pair, cas: cas, roots: pool(cas)}
	m.id, err = m.judge(append([]*x509.Certificate{pair.Leaf}, between(pair)...), now)
	if err != nil {
		return nil, fmt.Errorf("cannot use %s with %s: %w", certPath, caPath, err)
	}
	return m, nil
}

// readKey reads a private key that nobody else can read. A group may, as volumes of Kubernetes are
// made readable by one (fsGroup).
func readKey(dir, name string) (key []byte, path string, err error) {
	path = filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, path, fmt.Errorf("cannot read the key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 && runtime.GOOS != "windows" {
		return nil, path, fmt.Errorf("cannot use the key %s: its mode is %04o, so that others can read "+
			"or change it; allowed: 0600, 0400, 0640, 0440", path, mode)
	}
	key, err = userfile.Read(path, pemMax)
	if err != nil {
		return nil, path, fmt.Errorf("cannot read the key: %w", err)
	}
	return key, path, nil
}

// between returns the certificates that follow the process's own in its file.
func between(pair tls.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// parseChain reads PEM certificates, of which the first is a process's. The others are what lies
// between it and a CA; whether they do shows when the chain is verified.
func parseChain(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if out = append(out, c); len(out) > casMax {
			return nil, fmt.Errorf("it has more than %d certificates", casMax)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return out, nil
}

// ReadCAs reads a file of PEM certificates. path may also be a folder with a ca.crt in it.
func ReadCAs(path string) ([]*x509.Certificate, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, CAFile)
	}
	data, err := userfile.Read(path, pemMax)
	if err != nil {
		return nil, fmt.Errorf("cannot read the CA: %w", err)
	}
	cas, err := ParseCAs(data)
	if err != nil {
		return nil, fmt.Errorf("cannot use the CA file %s: %w", path, err)
	}
	return cas, nil
}

// ParseCAs reads PEM certificates of CAs, from 1 to 64. Certificates that are none of a CA are
// refused: one that was put there by mistake would make its owner a CA nowhere, and nobody sees.
func ParseCAs(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}

		// A key in this file would be one that everybody can read.
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it has a %.32q in it; allowed: certificates", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}

		// A leaf among them would make nobody believed, and hide that the CA is missing.
		if !c.BasicConstraintsValid || !c.IsCA {
			return nil, fmt.Errorf("the certificate of %.128q in it is not one of a CA", c.Subject)
		}
		if out = append(out, c); len(out) > casMax {
			return nil, fmt.Errorf("it has more than %d certificates", casMax)
		}
	}

	// Nothing at all is a file that was cut off, or another kind of file.
	if len(out) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return out, nil
}

// EncodeCerts writes certificates as PEM, one after the other, as tls.crt and ca.crt have them.
func EncodeCerts(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// Fingerprint is the SHA-256 of a certificate: of all of it, so that a token pins a CA with its
// name and its dates, not only its key.
func Fingerprint(c *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(c.Raw) }

// pool returns a pool of some CAs. Those of the system are never in it.
func pool(cas []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range cas {
		p.AddCert(c)
	}
	return p
}
