package direct_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"time"

	"github.com/longtake/longtake/internal/collective/direct"
)

// secret is a certificate for the bench's TLS, which nobody verifies: only its speed counts.
type secret struct{ tls *tls.Config }

func newSecret() (*secret, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	own := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &secret{&tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13,
		InsecureSkipVerify: true}}, nil //nolint:gosec // a bench
}

// wrap makes connections TLS, as the side that dials or the other one.
func (s *secret) wrap(dials bool) func(net.Conn) net.Conn {
	return func(c net.Conn) net.Conn {
		if dials {
			return tls.Client(c, s.tls)
		}
		return tls.Server(c, s.tls)
	}
}

// wrapEither is for a node that dials some connections and accepts others, at its own port.
func (s *secret) wrapEither(n **direct.Node) func(net.Conn) net.Conn {
	return func(c net.Conn) net.Conn {
		return s.wrap(c.LocalAddr().String() != (*n).Addr())(c)
	}
}
