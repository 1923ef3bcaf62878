package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/longtake/longtake/internal/job"
)

const (
	// CALife is how long the certificate of a CA is valid.
	CALife = 10 * 365 * 24 * time.Hour
	// LeafLife is how long that of a process is valid, unless a setting says otherwise. It is renewed
	// after two thirds of that, so that a night without the authority is bridged.
	LeafLife = 24 * time.Hour
	// FirstLife is how long the certificates are valid that pki init makes: until the cluster runs, no
	// coordinator can renew them.
	FirstLife = 7 * 24 * time.Hour
	// skew is how far clocks may differ: certificates are valid from so long before they were signed.
	skew = 5 * time.Minute
)

// Authority is a CA: its certificate and the key with which it signs. Whoever has the key can be
// any process of the cluster, so it lives where decisions do: in Raft, and so on the disks of the
// coordinators, of which each can sign after a failover.
type Authority struct {
	Cert *x509.Certificate
	// Cross is the same CA signed by the one before it, nil for the first: by it, who knows only that
	// one believes what this one signs.
	Cross *x509.Certificate
	key   crypto.Signer
}

// NewAuthority makes a CA for a cluster, valid from now for CALife.
func NewAuthority(cluster string, now time.Time) (*Authority, error) {
	if err := job.CheckName("cluster", cluster); err != nil {
		return nil, err
	}

	key, err := newKey()
	if err != nil {
		return nil, err
	}

	serial, err := newSerial()
	if err != nil {
		return nil, err
	}

	// The name differs from that of an earlier CA of the cluster: OpenSSL looks for issuers by name.
	name := "longtake " + cluster + " CA " + hex.EncodeToString(serial.Bytes()[:4])
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-skew), NotAfter: now.Add(CALife), IsCA: true, BasicConstraintsValid: true,
		MaxPathLen: 1, // of the CA after it
		KeyUsage:   x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a CA: %w", err)
	}

	cert, err := x509.ParseCertificate(der)
	return &Authority{Cert: cert, key: key}, err
}

// Next makes the CA that comes after this one, signed by both: so no process has to know the new
// one before it meets its first certificate.
func (a *Authority) Next(cluster string, now time.Time) (*Authority, error) {
	next, err := NewAuthority(cluster, now)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}

	// Under the name and the key of the new CA, so that chains may go either way.
	t := &x509.Certificate{SerialNumber: serial, Subject: next.Cert.Subject,
		NotBefore: now.Add(-skew), NotAfter: a.Cert.NotAfter, IsCA: true, BasicConstraintsValid: true,
		MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: next.Cert.SubjectKeyId}
	der, err := x509.CreateCertificate(rand.Reader, t, a.Cert, next.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("cannot sign the next CA: %w", err)
	}
	next.Cross, err = x509.ParseCertificate(der)
	return next, err
}

// ParseAuthority reads a CA from the PEM of its certificate and of its key, as Encode writes them.
// The error says what does not fit, and never shows the key. A CA that has run out is read all the
// same: it signs nothing, but its certificate may still have to be shown.
func ParseAuthority(cert, key []byte) (*Authority, error) {
	cas, err := ParseCAs(cert)
	if err != nil {
		return nil, fmt.Errorf("cannot use the CA's certificate: %w", err)
	}
	signer, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot use the CA's key: %w", err)
	}
	pub, ok := cas[0].PublicKey.(*ecdsa.PublicKey)
	if len(cas) != 1 || !ok || !pub.Equal(signer.Public()) {
		return nil, errors.New("cannot use the CA: its key is not that of its certificate")
	}
	return &Authority{Cert: cas[0], key: signer}, nil
}

// Encode returns the PEM of certificate and key, as ParseAuthority reads them.
func (a *Authority) Encode() (cert, key []byte, err error) {
	key, err = encodeKey(a.key)
	return EncodeCerts(a.Cert), key, err
}

// Issue signs a request, as ParseRequest has checked it, for some time from now on. What it returns
// is the content of a tls.crt: the certificate, then the CA's, by which a process that knows only
// the CA's fingerprint finds it in the handshake, and the way to the CA before it. No certificate
// outlives its CA.
func (a *Authority) Issue(r *Request, now time.Time, life time.Duration) ([]byte, error) {
	until := now.Add(life)
	if end := a.Cert.NotAfter; until.After(end) {
		until = end
	}

	if !until.After(now) {
		return nil, fmt.Errorf("cannot sign: the CA ran out at %s; longtake pki rotate makes another",
			a.Cert.NotAfter.UTC().Format(time.RFC3339))
	}

	serial, err := newSerial()
	if err != nil {
		return nil, err
	}

	// Nothing is copied from the request but what was checked: key, URI and hosts.
	t := &x509.Certificate{SerialNumber: serial,
		Subject:   pkix.Name{CommonName: string(r.ID.Role) + " " + r.ID.Name},
		NotBefore: now.Add(-min(skew, life/4)), NotAfter: until, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        r.uris(), DNSNames: r.DNS, IPAddresses: r.IPs}
	der, err := x509.CreateCertificate(rand.Reader, t, a.Cert, r.Public, a.key)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}

	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if a.Cross != nil {
		leaf = append(leaf, EncodeCerts(a.Cross)...)
	}
	return append(leaf, EncodeCerts(a.Cert)...), nil
}

// newKey makes a private key; the package comment says why on this curve.
func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	return key, nil
}

// newSerial draws a serial number of 127 bits, so that it is positive and no two are alike.
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("cannot draw a serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b), nil
}

// encodeKey writes a private key as PEM.
func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot write a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseKey reads a private key of ECDSA from PEM.
func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("there is no PEM private key in it")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T; allowed: ECDSA", key)
	}
	return signer, nil
}
