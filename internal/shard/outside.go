package shard

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/natsd"
)

// errNoKey is why a shard with a certificate takes part in no attempt without a key.
var errNoKey = errors.New("the order has no key to seal activations with, and this shard has a " +
	"certificate: the coordinators need theirs (tls.dir), too")

// complainOf returns what logs connections to the data plane's server that were refused, of which
// anybody may make many: one line in complainEvery.
func complainOf(log *slog.Logger) func(natsd.Refusal) {
	var mu sync.Mutex
	var at time.Time
	return func(r natsd.Refusal) {
		mu.Lock()
		defer mu.Unlock()
		if log == nil || time.Since(at) < complainEvery {
			return
		}
		at = time.Now()
		log.Warn("the data plane refused a connection", "reason", r.Reason, "what", r.Line)
	}
}

// outside returns the options for a NATS cluster of somebody else, in which a URL may ask for TLS.
// It is shown this shard's certificate, and has to have one for its host of this cluster's CA or of
// one that the system trusts. It is not believed anything: what goes over it is sealed.
func (p DataPlane) outside() []natsio.Option {
	if p.identity == nil {
		return nil
	}

	return []natsio.Option{func(o *natsio.Options) error {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13,
			GetClientCertificate: p.identity.Client().GetClientCertificate}
		o.RootCAsCB = func() (*x509.CertPool, error) { // for each connection: CAs rotate
			roots, err := x509.SystemCertPool()
			if err != nil {
				roots = x509.NewCertPool() // a container without any
			}
			for _, ca := range p.identity.CAs() {
				roots.AddCert(ca)
			}
			return roots, nil
		}
		return nil
	}}
}
