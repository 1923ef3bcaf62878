package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/longtake/longtake/internal/access"
)

// issuer is an identity provider whose clock stands still unless a test moves it.
type issuer struct {
	*httptest.Server
	t   *testing.T
	now time.Time

	mu    sync.Mutex
	keys  []jose.JSONWebKey // with their private parts
	asked int               // for keys
	away  bool
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{t: t, now: time.Unix(1e9, 0)}
	i.rotate("k1")
	mux := http.NewServeMux()
	const config = "/.well-known/openid-configuration"
	mux.HandleFunc(config, func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		i.asked++
		set := jose.JSONWebKeySet{}
		for _, k := range i.keys {
			set.Keys = append(set.Keys, k.Public())
		}
		i.mu.Unlock()
		i.answer(w, set)
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) answer(w http.ResponseWriter, v any) {
	i.mu.Lock()
	away := i.away
	i.mu.Unlock()
	if away {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // read or not
}

// rotate has the provider sign with another key; those before are gone.
func (i *issuer) rotate(id string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = []jose.JSONWebKey{{Key: key, KeyID: id, Algorithm: "ES256", Use: "sig"}}
}

// token is signed by the present key; more replaces claims.
func (i *issuer) token(more map[string]any) string {
	claims := map[string]any{"iss": i.URL, "sub": "eve", "aud": "longtake",
		"exp": i.now.Add(time.Hour).Unix(), "groups": []string{"video", "x"},
		"email": "eve@a.example"}
	for k, v := range more {
		claims[k] = v
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.keys[0]}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	s, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := s.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

func (i *issuer) provider() *Provider {
	rules, err := ParseRules([]string{"groups=video:videos:read,videos:write", "groups=ops:admin"})
	if err != nil {
		i.t.Fatal(err)
	}
	return New(Config{Issuer: i.URL, Audience: "longtake", Rules: rules, TeamClaim: "team",
		Transport: i.Client().Transport, Now: func() time.Time { return i.now }})
}

func TestTokensAreJudged(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	p := i.provider()
	in := func(d time.Duration) int64 { return i.now.Add(d).Unix() }
	for name, c := range map[string]struct {
		token string
		want  string // in the error; "": it is good
	}{
		"good":             {i.token(map[string]any{"team": "red"}), ""},
		"a list for":       {i.token(map[string]any{"aud": []string{"a", "longtake"}}), ""},
		"just expired":     {i.token(map[string]any{"exp": in(-30 * time.Second)}), ""},
		"expired":          {i.token(map[string]any{"exp": in(-2 * time.Minute)}), "expired"},
		"not yet":          {i.token(map[string]any{"nbf": in(time.Hour)}), "not one of"},
		"another audience": {i.token(map[string]any{"aud": "mail"}), "not one of"},
		"another issuer":   {i.token(map[string]any{"iss": other.URL}), "not one of"},
		"forged":           {other.token(map[string]any{"iss": i.URL}), "not one of"},
		"no signature":     {"eyJhbGciOiJub25lIn0.e30.", "not one of"},
		"nothing":          {"a.b.c", "not one of"},
	} {
		who, err := p.Verify(t.Context(), c.token)
		if c.want == "" && (err != nil || who.Name != "eve@a.example" ||
			!strings.HasPrefix(who.ID, "oidc_") || who.Scopes.String() != "videos:read,videos:write") {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), c.token)) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	if who, _ := p.Verify(t.Context(), i.token(map[string]any{"team": "red"})); who.Team != "red" {
		t.Errorf("team %q", who.Team)
	}
}

// TestTheProviderMayBeAway after it was asked once; a new key is fetched, not too often.
func TestTheProviderMayBeAway(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	verify := func(token string) error {
		_, err := p.Verify(context.Background(), token)
		return err
	}
	away := func(yes bool) {
		i.mu.Lock()
		i.away = yes
		i.mu.Unlock()
		i.now = i.now.Add(askPause)
	}
	away(true)
	if err := verify(i.token(nil)); !errors.Is(err, access.ErrUnavailable) {
		t.Errorf("at first: %v", err)
	}
	away(false)
	good := i.token(nil)
	if err := verify(good); err != nil {
		t.Errorf("there again: %v", err)
	}
	away(true)
	if err := verify(good); err != nil {
		t.Errorf("its keys are known: %v", err)
	}

	// For a moment after it has fetched keys, the library hands the same answer to who asks next.
	settles := func(what string, right func(error) bool) {
		err := verify(i.token(nil))
		for end := time.Now().Add(time.Minute); !right(err) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
			err = verify(i.token(nil))
		}
		if !right(err) {
			t.Errorf("a new key%s: %v", what, err)
		}
	}
	i.rotate("k2")
	settles(", while it is away", func(err error) bool {
		return errors.Is(err, access.ErrUnavailable)
	})
	away(false)
	settles("", func(err error) bool { return err == nil })
	before := i.asked
	for range 20 {
		if err := verify(good); err == nil || errors.Is(err, access.ErrUnavailable) {
			t.Errorf("an old key: %v", err)
		}
	}
	if i.asked != before {
		t.Errorf("it was asked for keys %d times at once", i.asked-before)
	}
}

func TestRules(t *testing.T) {
	for text, want := range map[string]string{
		"groups=video:videos:read|videos:write|groups=ops:admin": "groups video " +
			"videos:read,videos:write; groups ops admin",
		"a=b:metrics,nodes:read": "a b nodes:read,metrics",
		"":                       "",
		"videos:read":            "error", "a=b": "error", "=b:admin": "error", "a=:admin": "error",
		"a=b:root": "error", "a=b:admin|root": "error",
	} {
		var list []string
		if text != "" {
			list = strings.Split(text, "|")
		}
		rules, err := ParseRules(list)
		var got []string
		for _, r := range rules {
			got = append(got, r.Claim+" "+r.Value+" "+r.Scopes.String())
		}
		if err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}
