package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
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

// plainOverTLS is what net/http answers on a port that speaks TLS, before any handler.
const plainOverTLS = "Client sent an HTTP request to an HTTPS server."

// trustHint says what to do about a connection that failed because of a certificate, or "". The
// cause is in Go's words, which name neither a file nor a flag. Whoever sees it has most often just
// made a cluster, and forgot what the commands need from it.
func trustHint(err error) string {
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "; give the cluster's ca.crt as --ca or LONGTAKE_CA: of longtake pki init, " +
			"or of any process's tls.dir"
	case errors.As(err, &record):
		return "; is it a coordinator without tls.dir? Those have http:// URLs"
	}
	return ""
}
