package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// certs is a coordinator of which nobody asks anything here.
type certs struct{ coord.Certificates }

// TestProcessesAskForThemselves wants a certificate of the one who asks: none, and that of a
// coordinator that sends somebody's request on, are refused.
func TestProcessesAskForThemselves(t *testing.T) {
	s := newServer(Config{Service: newFake(), Certificates: certs{},
		Metrics: prometheus.NewRegistry()})
	c1 := pkitest.NewTestAuthority(t, "demo").Identity(t, pki.RoleCoordinator, "c1")
	r := httptest.NewRequest("GET", "/v1/pki/bundle", nil)
	_, err := s.member(r)
	if err == nil || !strings.Contains(err.Error(), "no certificate was shown") {
		t.Errorf("without a certificate: %v", err)
	}
	r.TLS = &tls.ConnectionState{HandshakeComplete: true,
		PeerCertificates: []*x509.Certificate{c1.Leaf()}}
	if _, err := s.member(r); err != nil {
		t.Errorf("with one: %v", err)
	}
	r = r.WithContext(context.WithValue(r.Context(), forwardedKey{}, true))
	if _, err := s.member(r); err == nil {
		t.Error("what a coordinator sends on counts as its own")
	}
	for _, rt := range s.pkiRoutes() {
		if label := rt.method + " " + rt.path; judgedHere[label] && rt.scope != anyone {
			t.Errorf("%s wants %q", label, rt.scope)
		}
	}
}
