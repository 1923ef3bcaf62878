package target

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/bench/target/targettest"
)

// TestWhatMayBeAskedAgain: polls and downloads that fail are repeated and counted; a request for a
// clip is not.
func TestWhatMayBeAskedAgain(t *testing.T) {
	s := targettest.Start(t, targettest.Options{Product: targettest.SGLang})
	var polls, downloads, creates atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count := &polls
		switch {
		case r.Method == http.MethodPost:
			count = &creates
			w = lost{w} // the clip is queued, and its answer is lost
		case strings.HasSuffix(r.URL.Path, "/content"):
			count = &downloads
		case !strings.HasPrefix(r.URL.Path, "/v1/videos/"):
			s.Config.Handler.ServeHTTP(w, r)
			return
		}
		n := count.Add(1)
		if r.Method != http.MethodPost && n <= 2 {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		if r.Method == http.MethodPost && n == 1 {
			w = w.(lost).ResponseWriter
		}
		s.Config.Handler.ServeHTTP(w, r)
	}))
	defer front.Close()
	to, err := Open(t.Context(), Options{URL: front.URL, Content: true})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()

	out, err := to.Make(t.Context(), request(), nil)
	if err != nil || out.Retries != 4 || out.Frames != 17 || out.Polls < 3 {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = to.Make(t.Context(), request(), nil)
	var f *Failure
	if !errors.As(err, &f) || f.Kind != Unreachable || creates.Load() != 2 {
		t.Errorf("%v, after %d creates", err, creates.Load())
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := to.Make(ctx, request(), nil); !errors.As(err, &f) || f.Kind != Cancelled ||
		creates.Load() != 2 {
		t.Errorf("%v, after %d creates", err, creates.Load())
	}
}

// lost drops the connection instead of an answer.
type lost struct{ http.ResponseWriter }

// Write implements http.ResponseWriter.
func (lost) Write([]byte) (int, error) { panic(http.ErrAbortHandler) }

// TestCA: a server is believed by the certificate that is given, and by no other.
func TestCA(t *testing.T) {
	s := targettest.Start(t, targettest.Options{Product: targettest.Dynamo})
	front := httptest.NewUnstartedServer(s.Config.Handler)
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	defer front.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}

	to, err := Open(t.Context(), Options{URL: front.URL, CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := to.Make(t.Context(), request(), nil); err != nil {
		t.Error(err)
	}
	_, err = Open(t.Context(), Options{URL: front.URL})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

// TestRetryAfter: seconds, dates, and what is neither.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "2": 2 * time.Second, "-1": 0, "x": 0,
		"1e300": time.Hour, "NaN": 0, "Thu, 01 Jan 2026 00:00:05 GMT": 5 * time.Second,
		"Thu, 01 Jan 2020 00:00:05 GMT": 0} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
