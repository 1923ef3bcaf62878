package coord

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/userfile"
)

// TLSConfig names the PEM files with which coordinators prove to each other who they are. All are
// set, or none: then their connections are plain.
type TLSConfig struct {
	Cert, Key string // of this coordinator; the certificate names the host that the others dial
	CA        string // that signed the certificates of all
}

// on reports whether connections are encrypted.
func (t TLSConfig) on() bool { return t != TLSConfig{} }

// load reads the files into a configuration for both directions.
func (t TLSConfig) load() (*tls.Config, error) {
	if t.Cert == "" || t.Key == "" || t.CA == "" {
		return nil, errors.New("raft TLS needs all of a certificate, its key and a CA")
	}

	// What this coordinator shows to others.
	cert, err := t.pair()
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate %s with key %s: %w", t.Cert, t.Key, err)
	}

	// What it wants to see of them. The CA is the only one that counts, not those of the system.
	pem, err := userfile.Read(t.CA, pemMax)
	if err != nil {
		return nil, fmt.Errorf("cannot read the CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in the CA file %s", t.CA)
	}

	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}, nil
}

// pemMax bounds a PEM file, in bytes.
const pemMax = 1 << 20

// pair reads this coordinator's certificate and key.
func (t TLSConfig) pair() (tls.Certificate, error) {
	cert, err := userfile.Read(t.Cert, pemMax)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := userfile.Read(t.Key, pemMax)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// tlsLayer carries Raft over mutual TLS.
type tlsLayer struct {
	net.Listener
	cfg       *tls.Config
	advertise net.Addr
}

var _ raft.StreamLayer = (*tlsLayer)(nil)

// listenTLS opens the listener.
func listenTLS(addr string, advertise net.Addr, cfg *tls.Config) (*tlsLayer, error) {
	l, err := tls.Listen("tcp", addr, cfg)
	if err != nil {
		return nil, err
	}
	return &tlsLayer{l, cfg, advertise}, nil
}

// Addr returns what the others dial.
func (l *tlsLayer) Addr() net.Addr { return l.advertise }

// Dial implements raft.StreamLayer: it wants the host's name in the other's certificate.
func (l *tlsLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	host, _, err := net.SplitHostPort(string(addr))
	if err != nil {
		return nil, err
	}
	cfg := l.cfg.Clone()
	cfg.ServerName = host
	return tls.DialWithDialer(&net.Dialer{Timeout: timeout}, "tcp", string(addr), cfg)
}
