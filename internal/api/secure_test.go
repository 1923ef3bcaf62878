package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// secured serves an API over TLS, with few connections, and returns host:port.
func secured(t *testing.T, own *pki.Identity, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveGate(ctx, newGate(l, 1, 2), own.Server(), h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// TestAPIOverTLS asks over TLS as clients do, without a certificate, and looks at what is refused.
func TestAPIOverTLS(t *testing.T) {
	ca, other := pkitest.NewTestAuthority(t, "demo"), pkitest.NewTestAuthority(t, "demo")
	own := ca.Identity(t, pki.RoleCoordinator, "c1", "127.0.0.1")
	h := New(Config{Service: newFake(), Metrics: prometheus.NewRegistry(), Auth: everybody,
		Insecure: config.InsecureText})
	addr := secured(t, own, h)

	trusting, err := client.Trusting(own.Dir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trusting.CloseIdleConnections)
	c, err := client.New("https://"+addr, trusting)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the only connection is used again, or makes room: the gate knows which it is
		if _, err := c.Cluster(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := trusting.Get("https://" + addr + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(text), "[-] network: insecure-network is set") {
		t.Errorf("readyz says %q", text)
	}

	// Another CA, another host and plain HTTP.
	stranger, err := client.Trusting(other.Identity(t, pki.RoleShard, "x").Dir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stranger.CloseIdleConnections)
	if _, err := stranger.Get("https://" + addr + "/livez"); err == nil ||
		!strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("a client of another CA gets %v", err)
	}
	_, port, _ := net.SplitHostPort(addr)
	if _, err := trusting.Get("https://localhost:" + port + "/livez"); err == nil ||
		!strings.Contains(err.Error(), "not valid for") {
		t.Errorf("a host that the certificate does not name gives %v", err)
	}
	resp, err = http.Get("http://" + addr + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP gets %d", resp.StatusCode)
	}
	if _, err := client.Trusting("/nowhere"); err == nil {
		t.Error("a CA that is not there is taken")
	}
}
