package client

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"

	"github.com/longtake/longtake/internal/pki"
)

// Trusting returns an HTTP client for New that believes the CAs in a file of PEM certificates, or
// in the ca.crt of a folder, and no others. "" stands for nil: the CAs of the system. Host names
// are compared as on the web.
func Trusting(ca string) (*http.Client, error) {
	if ca == "" {
		return nil, nil //nolint:nilnil // New has its own
	}
	cas, err := pki.ReadCAs(ca)
	if err != nil {
		return nil, err
	}
	t := newTransport()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool()}
	for _, c := range cas {
		t.TLSClientConfig.RootCAs.AddCert(c)
	}
	return &http.Client{Transport: t}, nil
}
