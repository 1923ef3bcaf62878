package client

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestKeysAreSent also again, without the one that was only tried.
func TestKeysAreSent(t *testing.T) {
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization")
		if seen = append(seen, key); key == "Bearer lt_other" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write([]byte(`{"data": []}`)) //nolint:errcheck // read or not
	}))
	defer s.Close()
	c, err := New(s.URL, s.Client())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		c    *Client
		good bool
		want []string
	}{
		{c, true, []string{"", ""}},
		{c.WithKey("lt_mine"), true, []string{"Bearer lt_mine", "Bearer lt_mine"}},
		{c.WithKey("lt_other"), false, []string{"Bearer lt_other", "Bearer lt_other"}},
		{c.TryKey("lt_other"), true, []string{"Bearer lt_other", "", ""}},
		{c.TryKey(""), true, []string{"", ""}},
	} {
		seen = nil
		for range 2 {
			if _, err := f.c.Nodes(t.Context()); (err == nil) != f.good {
				t.Errorf("%v: %v", f.want, err)
			}
		}
		if len(seen) != len(f.want) {
			t.Errorf("%q was sent, want %q", seen, f.want)
			continue
		}
		for i := range seen {
			if seen[i] != f.want[i] {
				t.Errorf("%q was sent, want %q", seen, f.want)
			}
		}
	}
}

func TestOnLoopback(t *testing.T) {
	for url, want := range map[string]bool{"http://127.0.0.1:8080": true, "http://localhost": true,
		"http://[::1]:1/": true, "http://127.8.0.1": true, "https://127.0.0.1:8080": false,
		"http://10.0.0.1": false, "http://127.0.0.1.example": false, "http://localhost.example": false,
		"ftp://localhost": false, "::": false} {
		if got := OnLoopback(url); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}

// TestClientSaysWhatToTrust tries the usual slips at a locked cluster: no CA, and http.
func TestClientSaysWhatToTrust(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(srv.Close)

	for url, want := range map[string]string{
		srv.URL: "LONGTAKE_CA",
		strings.Replace(srv.URL, "https:", "http:", 1): "its https:// URL",
	} {
		c, err := New(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), "job_1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", url, err, want)
		}
	}
}
