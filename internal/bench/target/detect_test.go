package target

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/bench/target/targettest"
)

// TestAutoByTheModels: a server that shows no routes is known by who owns its models.
func TestAutoByTheModels(t *testing.T) {
	for p, dialect := range products {
		to, _ := start(t, targettest.Options{Product: p, Mute: true}, Options{})
		about, err := to.Describe(t.Context())
		if err != nil || about.Dialect != dialect || about.Version != "" {
			t.Errorf("%s: %+v, %v", p, about, err)
		}
	}
}

// TestAutoSaysWhatItTried: of an unknown server, of one that wants a key, and of none.
func TestAutoSaysWhatItTried(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, err := Open(t.Context(), Options{URL: other.URL})
	if err == nil || !strings.Contains(err.Error(), "GET /v1/models: 404; GET /openapi.json: 404; "+
		"GET /version: 404); name it with --dialect: longtake, videos") {
		t.Error(err)
	}

	s := targettest.Start(t, targettest.Options{Product: targettest.VLLM, Key: "secret"})
	_, err = Open(t.Context(), Options{URL: s.URL})
	var f *Failure
	if !errors.As(err, &f) || f.Status != http.StatusUnauthorized {
		t.Error(err)
	}
	to, err := Open(t.Context(), Options{URL: s.URL, Key: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := to.Make(t.Context(), request(), nil); err != nil {
		t.Error(err)
	}

	other.Close()
	_, err = Open(t.Context(), Options{URL: other.URL})
	if !errors.As(err, &f) || f.Kind != Unreachable {
		t.Error(err)
	}
}

// TestNamedDialect: a server that shows nothing of itself works if its dialect is named, and vLLM's
// form is found by what it misses.
func TestNamedDialect(t *testing.T) {
	s := targettest.Start(t, targettest.Options{Product: targettest.VLLM})
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/videos") {
			http.NotFound(w, r)
			return
		}
		s.Config.Handler.ServeHTTP(w, r)
	}))
	defer bare.Close()
	to, err := Open(t.Context(), Options{URL: bare.URL, Dialect: "videos", Content: true})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for try, retries := range []int{1, 0} {
		out, err := to.Make(t.Context(), request(), nil)
		if err != nil || out.Retries != retries || out.Frames != 17 {
			t.Errorf("try %d: %+v, %v", try, out, err)
		}
	}
	if n := len(s.Bodies()); n != 2 {
		t.Errorf("%d clips were made", n)
	}
}
