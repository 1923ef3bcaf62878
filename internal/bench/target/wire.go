package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/pki"
)

const (
	dialTime = 10 * time.Second
	// How long a request goes on after its caller has left, so that what it makes can be cancelled.
	grace = 10 * time.Second
)

// wire is how requests reach a server. A target has one, whatever its dialect, so that clips which
// follow each other find a connection that is open already: a new one would cost a round trip, and
// with TLS two more, in the latency of a clip.
type wire struct {
	http *http.Client
}

// newWire returns connections for as many clips as the options say. Each clip that is under way has
// one of its own, as HTTP/1.1 has it: over one connection of HTTP/2 a lost packet would hold up all
// clips at once.
func newWire(o Options) (*wire, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, // which leaves loopback alone
		DialContext:         (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSHandshakeTimeout: dialTime, MaxIdleConns: o.Connections,
		MaxIdleConnsPerHost: o.Connections, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: 64 << 10, DisableCompression: true}

	if o.CA != "" {
		cas, err := pki.ReadCAs(o.CA)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		for _, c := range cas {
			t.TLSClientConfig.RootCAs.AddCert(c)
		}
	}
	return &wire{http: &http.Client{Transport: counted{t}}}, nil
}

// Close gives the idle connections up.
func (w *wire) Close() error {
	w.http.CloseIdleConnections()
	return nil
}

// The client of our own API repeats by itself what a coordinator that is away did not answer, which
// a benchmark of faults wants. How often that was is seen below it alone, where each try comes by.

// counted counts what is asked again because of a failure: requests whose context has a tally.
type counted struct{ *http.Transport }

// tally counts the failures of requests: of connections, and answers that something passes.
type tally struct{ failures atomic.Int64 }

type tallyKey struct{}

// withTally returns a context whose requests are counted.
func withTally(ctx context.Context) (context.Context, *tally) {
	t := new(tally)
	return context.WithValue(ctx, tallyKey{}, t), t
}

// RoundTrip implements http.RoundTripper.
func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.Transport.RoundTrip(r)
	t, _ := r.Context().Value(tallyKey{}).(*tally)
	if t != nil && (err != nil || resp.StatusCode == http.StatusServiceUnavailable) {
		t.failures.Add(1)
	}
	return resp, err
}

// lingering returns a context that ends a while after ctx: what was sent is then still answered,
// and can be taken back.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, cancel)
		context.AfterFunc(out, func() { t.Stop() })
	})
	return out, func() { stop(); cancel() }
}
