package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/config"
)

// askAs sends a request to an API under a key, with more headers.
func askAs(h http.Handler, method, path, key string, more ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, nil)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(more); i += 2 {
		r.Header.Add(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// fill puts names into the places of a route's path.
func fill(path string) string {
	return strings.NewReplacer("{id...}", "demo", "{id}", "video_0", "{name}", "a").Replace(path)
}

// TestEveryRouteWantsAKey asks for every route with keys of all kinds.
func TestEveryRouteWantsAKey(t *testing.T) {
	f := newFake()
	past := time.Now().Add(-time.Hour)
	keys := map[string]string{
		"no key": "", "malformed": "lt_x", "of another server": "sk-none",
		"wrong": access.NewText(access.NewID(random), random),
		"expired": f.add("expired", access.Scopes{access.Admin},
			func(k *access.Key) { k.Expires = past }),
		"revoked": f.add("revoked", access.Scopes{access.Admin},
			func(k *access.Key) { k.Revoked = past }),
		"local":  access.NewText(access.Local, random),
		"tokens": "eyJhbGciOiJub25lIn0.e30.",
	}
	keys["rotated"] = f.add("rotated", access.Scopes{access.Admin}, func(k *access.Key) {
		*k = k.Rotate(access.HashText("other"), past.Add(-time.Hour), time.Minute)
	})
	admin := f.add("root", access.Scopes{access.Admin})

	registry := prometheus.NewRegistry()
	s := newServer(Config{Service: f, Metrics: registry})
	clock := time.Now() // each failure comes an hour after the one before
	s.failures.now = func() time.Time { clock = clock.Add(time.Hour); return clock }
	h := newGuard(s.mux(s.routes(registry)), nil, nil)
	for _, rt := range s.routes(prometheus.NewRegistry()) {
		if rt.scope == "" {
			t.Errorf("%s %s names no scope", rt.method, rt.path)
		}
		if rt.scope == anyone {
			continue
		}
		for name, key := range keys {
			w := askAs(h, rt.method, fill(rt.path), key)
			if w.Code != 401 || !strings.Contains(w.Body.String(), `"unauthenticated"`) ||
				!strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") ||
				key != "" && strings.Contains(w.Body.String(), key) {
				t.Errorf("%s %s with a key that is %s: %d %s", rt.method, rt.path, name, w.Code, w.Body)
			}
		}

		if w := askAs(h, rt.method, fill(rt.path), admin); w.Code == 401 || w.Code == 403 {
			t.Errorf("%s %s as an administrator: %d %s", rt.method, rt.path, w.Code, w.Body)
		}
		for _, has := range access.AllScopes {
			text := f.add("k", access.Scopes{has})
			w := askAs(h, rt.method, fill(rt.path), text)
			may := has == access.Admin || has == rt.scope || rt.scope == anyKey
			if may != (w.Code != 403) || !may && (!strings.Contains(w.Body.String(), string(rt.scope)) ||
				!strings.Contains(w.Header().Get("WWW-Authenticate"), "insufficient_scope")) {
				t.Errorf("%s %s with %s: %d %s", rt.method, rt.path, has, w.Code, w.Body)
			}
			f.keys = f.keys[:len(f.keys)-1]
		}
	}
	counted := askAs(h, "GET", "/metrics", admin).Body.String()
	for _, reason := range []string{"missing", "malformed", "unknown", "expired", "revoked", "rotated",
		"scope"} {
		line := fmt.Sprintf("longtake_auth_failures_total{reason=%q} ", reason)
		if !strings.Contains(counted, line) {
			t.Errorf("those refused as %s are not counted", reason)
		}
	}
	if w := askAs(h, "GET", "/v1/none", ""); w.Code != 401 {
		t.Errorf("a path that is unknown: %d", w.Code)
	}
}

// TestProbesAreForAnyone holds the list of what needs no key.
func TestProbesAreForAnyone(t *testing.T) {
	s := newServer(Config{Service: newFake(), Metrics: prometheus.NewRegistry()})
	var open []string
	for _, rt := range s.routes(prometheus.NewRegistry()) {
		if rt.scope == anyone {
			open = append(open, rt.method+" "+rt.path)
		}
	}
	const want = "POST /v1/pki/join, POST /v1/pki/renew, GET /v1/pki/bundle, " + // by certificate
		"GET /livez, GET /readyz, GET /health"
	if got := strings.Join(open, ", "); got != want {
		t.Errorf("without a key: %s; want: %s", got, want)
	}
}

// TestOpenAccess is that of the quick start on loopback.
func TestOpenAccess(t *testing.T) {
	f := newFake()
	auth := OpenAuth()
	local := access.NewText(access.Local, random)
	auth.LocalKey = access.HashText(local)
	h := New(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: auth})
	reader := f.add("reader", access.Scopes{access.VideosRead})
	for _, c := range []struct {
		method, path, key string
		status            int
	}{
		{"GET", "/v1/videos", "", 200},
		{"GET", "/v1/videos", "sk-made-up", 200},
		{"GET", "/v1/videos", "eyJhbGciOiJub25lIn0.e30.", 200},
		{"GET", "/metrics", "", 200},
		{"GET", "/v1/nodes", "", 200},
		{"POST", "/v1/nodes/a/drain", "", 401},
		{"POST", "/v1/nodes/a/drain", "sk-made-up", 401},
		{"POST", "/v1/nodes/a/drain", local, 200},
		{"GET", "/v1/cluster/snapshot", "", 401},
		{"GET", "/v1/cluster/snapshot", local, 200},
		{"GET", "/v1/videos", access.NewText(access.Local, random), 401},
		{"GET", "/v1/videos", access.NewText(access.NewID(random), random), 401},
		{"GET", "/v1/videos", "lt_", 401},
		{"GET", "/v1/videos", reader, 200},
		{"GET", "/v1/nodes", reader, 403},
	} {
		if w := askAs(h, c.method, c.path, c.key); w.Code != c.status {
			t.Errorf("%s %s with %.12q: %d %s", c.method, c.path, c.key, w.Code, w.Body)
		}
	}
}

// TestCredentials tries the headers in which keys come.
func TestCredentials(t *testing.T) {
	for _, c := range []struct {
		headers string
		want    string
		bad     bool
	}{
		{"", "", false},
		{"Authorization: Bearer k", "k", false},
		{"Authorization: bearer   k ", "k", false},
		{"Authorization: Bearer", "", false},
		{"Authorization: Basic dTpw", "", false},
		{"X-Api-Key: k", "k", false},
		{"Authorization: Basic dTpw|X-Api-Key: k", "k", false},
		{"Authorization: Bearer a|X-Api-Key: b", "a", false},
		{"Authorization: Bearer a|Authorization: Bearer b", "", true},
		{"X-Api-Key: a|X-Api-Key: b", "", true},
		{"Authorization: Bearer " + strings.Repeat("a", credentialMax+1), "", true},
	} {
		h := http.Header{}
		for _, line := range strings.Split(c.headers, "|") {
			name, value, _ := strings.Cut(line, ": ")
			if name != "" {
				h.Add(name, value)
			}
		}
		if got, err := credential(h); got != c.want || (err != nil) != c.bad {
			t.Errorf("%.64q: %.64q, %v", c.headers, got, err)
		}
	}
}

// FuzzCredential wants a credential to be a part of what was sent, and bounded.
func FuzzCredential(f *testing.F) {
	f.Add("Bearer lt_a_b", "x")
	f.Add("Basic dTpw", "lt_a_b")
	f.Fuzz(func(t *testing.T, auth, key string) {
		got, err := credential(http.Header{"Authorization": {auth}, "X-Api-Key": {key}})
		if err == nil && (len(got) > credentialMax || !strings.Contains(auth, got) &&
			!strings.Contains(key, got)) {
			t.Errorf("%q and %q are %q", auth, key, got)
		}
	})
}

// TestFailuresAreBounded takes failures of one address, and of many.
func TestFailuresAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	f := newFailures(func() time.Time { return now })
	for i := range failuresBurst {
		if _, ok := f.take("[2001:db8::1]:5"); !ok {
			t.Fatalf("failure %d is too many", i)
		}
	}
	wait, ok := f.take("[2001:db8::2]:6") // the same /64
	if ok || wait <= 0 || wait > failuresPause {
		t.Errorf("wait %v, %v", wait, ok)
	}
	if _, ok := f.take("192.0.2.1:5"); !ok {
		t.Error("another address has to wait")
	}
	now = now.Add(wait)
	if _, ok := f.take("[2001:db8::1]:5"); !ok {
		t.Error("a failure after the pause is too many")
	}
	for i := range 2 * failuresKept {
		f.take(fmt.Sprintf("10.0.%d.%d:1", i/250, i%250))
	}
	if len(f.empty) > failuresKept {
		t.Errorf("%d addresses are remembered", len(f.empty))
	}
}

// TestFailuresOfAnAddress are a 429 after some; keys that work still do.
func TestFailuresOfAnAddress(t *testing.T) {
	f := newFake()
	h := New(Config{Service: f, Metrics: prometheus.NewRegistry()})
	good := f.add("good", access.Scopes{access.VideosRead})
	for range failuresBurst {
		if w := askAs(h, "GET", "/v1/videos", "lt_no"); w.Code != 401 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	w := askAs(h, "GET", "/v1/videos", "lt_no")
	if w.Code != 429 || w.Header().Get("Retry-After") == "" ||
		!strings.Contains(w.Body.String(), "rate_limited") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := askAs(h, "GET", "/v1/videos", "", "X-Api-Key", good); w.Code != 200 {
		t.Errorf("a good key: %d %s", w.Code, w.Body)
	}
}

// TestAnonymousIsASetting reads what may be done without a key.
func TestAnonymousIsASetting(t *testing.T) {
	const usual, all = "videos:read,videos:write,nodes:read,metrics",
		"videos:read,videos:write,nodes:read,nodes:write,metrics,admin"
	for _, c := range []struct{ setting, listen, more, want string }{
		{"auto", "127.0.0.1:8080", "", usual},
		{"auto", "[::1]:8080", "", usual},
		{"auto", "localhost:0", "", usual},
		{"auto", "127.0.0.1:8080", "TLS_DIR=x", ""},
		{"auto", "0.0.0.0:8080", "TLS_DIR=x", ""},
		{"auto", "0.0.0.0:8080", "INSECURE_NETWORK=true", all},
		{"none", "127.0.0.1:8080", "", ""},
		{"", "127.0.0.1:8080", "", ""},
		{"metrics,videos:read", "0.0.0.0:8080", "TLS_DIR=x", "videos:read,metrics"},
		{"root", "127.0.0.1:8080", "", "error"},
		{"auto,metrics", "127.0.0.1:8080", "", "error"},
	} {
		t.Setenv("LONGTAKE_TLS_DIR", "")
		t.Setenv("LONGTAKE_INSECURE_NETWORK", "false")
		t.Setenv("LONGTAKE_HTTP_ANONYMOUS", c.setting)
		t.Setenv("LONGTAKE_HTTP_LISTEN", c.listen)
		if name, value, ok := strings.Cut(c.more, "="); ok {
			t.Setenv("LONGTAKE_"+name, value)
		}
		v, err := config.Load(config.Coordinator(), new(pflag.FlagSet), "")
		if err != nil {
			t.Fatal(err)
		}
		a, err := ReadAuth(v, c.listen)
		got := a.Anonymous.String()
		var wrong *config.Error
		if errors.As(err, &wrong) {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestTheLocalKeyIsUsed(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("HOME", home)
	var a Auth
	path, err := a.UseLocalKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || a.LocalKey != access.HashText(strings.TrimSpace(string(text))) {
		t.Errorf("%v, %v", a.LocalKey, err)
	}
}

// tokens is an identity provider that knows one token, or is away.
type tokens struct{ err error }

func (f tokens) Verify(_ context.Context, token string) (access.Principal, error) {
	if f.err == nil && token != "eyJ.good.token" {
		return access.Principal{}, errors.New("the token is not signed by the provider")
	}
	return access.Principal{ID: "oidc_1", Name: "eve",
		Scopes: access.Scopes{access.VideosRead}}, f.err
}

func TestTokens(t *testing.T) {
	for _, c := range []struct {
		tokens tokens
		token  string
		status int
		code   string
	}{
		{tokens{}, "eyJ.good.token", 200, ""},
		{tokens{}, "eyJ.bad.token", 401, "unauthenticated"},
		{tokens{access.ErrUnavailable}, "eyJ.good.token", 503,
			"identity_provider_unavailable"},
	} {
		h := New(Config{Service: newFake(), Metrics: prometheus.NewRegistry(),
			Auth: Auth{Tokens: c.tokens}})
		if w := askAs(h, "GET", "/v1/videos", c.token); w.Code != c.status ||
			!strings.Contains(w.Body.String(), c.code) {
			t.Errorf("%s: %d %s", c.token, w.Code, w.Body)
		}
	}
}
