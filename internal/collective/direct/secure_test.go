package direct_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/direct"
	"github.com/longtake/longtake/internal/natsd"
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

// kinds connects in all ways, as benchKinds has them. The caller calls end.
func (b benchSide) kinds(ctx context.Context, servers [2]*natsd.Server, l, lt net.Listener,
	peer benchAddrs) (kinds []exchange, end func(), err error) {
	var ends []func()
	end = func() {
		for _, f := range slices.Backward(ends) {
			f()
		}
	}
	secure, err := newSecret()
	if err != nil {
		return nil, nil, err
	}

	kinds = make([]exchange, len(benchKinds))
	if kinds[0], err = b.raw(l, peer.Raw, nil, false); err != nil {
		return nil, nil, err
	}
	if kinds[3], err = b.raw(l, peer.Raw, nil, true); err != nil {
		return nil, nil, err
	}
	if kinds[4], err = b.raw(lt, peer.TLS, secure.wrap(b.Rank == 0), false); err != nil {
		return nil, nil, err
	}

	key := collective.Key{'b', 'e', 'n', 'c', 'h'}
	for _, w := range []way{{kind: 1, direct: true}, {kind: 2}, {kind: 5, direct: true, key: key},
		{kind: 6, key: key}, {kind: 7, direct: true, tls: secure}, {kind: 8, server: 1, key: key}} {
		do, stop, err := b.open(ctx, servers[w.server], w)
		if err != nil {
			return nil, nil, err
		}
		ends, kinds[w.kind] = append(ends, stop), do
	}
	return kinds, end, nil
}

// way is how a transport goes: over NATS or by direct connections, sealed with a key, over TLS.
type way struct {
	kind   int
	server int // of the two
	direct bool
	tls    *secret
	key    collective.Key
}

// open opens this side's end of a transport, and waits until it goes its way.
func (b benchSide) open(ctx context.Context, s *natsd.Server, w way) (exchange, func(), error) {
	if !w.direct {
		return b.transport(s, nil, w.kind, w.key)
	}
	var n *direct.Node
	o := direct.Options{Listen: b.Host + ":0", Connections: b.Connections}
	if w.tls != nil {
		o.Wrap = w.tls.wrapEither(&n)
	}
	n, err := direct.Listen(o)
	if err != nil {
		return nil, nil, err
	}
	do, end, err := b.transport(s, n, w.kind, w.key)
	if err != nil {
		return nil, nil, err
	}
	return do, func() { end(); n.Close() }, goDirectly(ctx, n, do)
}
