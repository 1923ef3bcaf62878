package api

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// follower is a coordinator that does not lead; it knows no keys.
type follower struct {
	*fake
	leader string
}

func (f *follower) Leading(context.Context) error {
	return &coord.NotLeaderError{ID: "c1", HTTP: f.leader}
}

// locked serves the API of a coordinator with an identity, and returns its URL.
func locked(t *testing.T, own *pki.Identity, f coord.Service) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(Config{Service: f, Metrics: prometheus.NewRegistry(), Identity: own})
	h := newGuard(s.mux(s.routes(prometheus.NewRegistry())), nil, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ServeTLS(ctx, l, own.Server(), h) }()
	t.Cleanup(func() {
		s.forward.proxy.Transport.(*http.Transport).CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "https://" + l.Addr().String()
}

// TestFollowersSendRequestsOn asks two followers for what their leader has.
func TestFollowersSendRequestsOn(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "demo")
	own := func(name string) *pki.Identity {
		return ca.Identity(t, pki.RoleCoordinator, name, "127.0.0.1")
	}
	lead := newFake()
	text := lead.add("a", access.Scopes{access.VideosRead, access.VideosWrite})
	c1 := own("c1")
	leader := locked(t, c1, lead)
	c2 := locked(t, own("c2"), &follower{newFake(), leader})
	c3 := locked(t, own("c3"), &follower{newFake(), c2}) // which does not lead
	shard := locked(t, ca.Identity(t, pki.RoleShard, "s1"), lead)
	c4 := locked(t, own("c4"), &follower{newFake(), shard})

	trusting, err := client.Trusting(c1.Dir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trusting.CloseIdleConnections)
	c, err := client.New(c2, trusting)
	if err != nil {
		t.Fatal(err)
	}
	c = c.WithKey(text)
	v, err := c.Create(t.Context(), job.Request{Prompt: "over there"})
	if err != nil || lead.last.Prompt != "over there" {
		t.Fatalf("%+v, %v", v, err)
	}
	id := completed(lead)
	r, err := c.Content(t.Context(), id, "video")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if r.Close(); err != nil || string(b) != "the video" {
		t.Errorf("%q, %v", b, err)
	}

	if v, err := c.Watch(t.Context(), id, func(schema.Video) {}); err != nil || !v.Final() {
		t.Errorf("%+v, %v", v, err)
	}
	status, body, h := getAs(t, trusting, c2+"/v1/videos/"+string(id), text)
	if ids := h[requestIDHeader]; status != 200 || len(ids) != 1 || ids[0] != "mine" {
		t.Errorf("%d %s %v", status, body, h)
	}
	for _, q := range []struct {
		base, path, key string
		status          int
		says            string
	}{
		{c2, "/v1/videos", "lt_wrong", 401, "not known"},
		{c2, "/v1/models", text, 200, "demo"}, // of a key that the follower does not know
		{c2, "/v1/models", "", 401, "missing"},
		{c2, "/v1/nodes", text, 403, "nodes:read"},
		{c3, "/v1/videos/" + string(id), text, 503, "another coordinator"},
		{c4, "/v1/videos/" + string(id), text, 503, "it is a shard"},
	} {
		if status, body, _ := getAs(t, trusting, q.base+q.path, q.key); status != q.status ||
			!strings.Contains(body, q.says) {
			t.Errorf("%s%s: %d %s", q.base, q.path, status, body)
		}
	}
}

// getAs asks for a URL under a key, and an id that is called mine.
func getAs(t *testing.T, c *http.Client, url, key string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set(requestIDHeader, "mine")
	return roundTrip(t, c, req)
}

// TestOnlyCoordinatorsNameClients sends the header with a client's address from elsewhere.
func TestOnlyCoordinatorsNameClients(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "demo")
	c1 := ca.Identity(t, pki.RoleCoordinator, "c1", "127.0.0.1")
	s := newServer(Config{Service: newFake(), Metrics: prometheus.NewRegistry(), Identity: c1})
	for name, c := range map[string]struct {
		own  *pki.Identity
		want string
	}{
		"nobody":        {nil, "192.0.2.1:1234"},
		"a shard":       {ca.Identity(t, pki.RoleShard, "s1"), "192.0.2.1:1234"},
		"a coordinator": {ca.Identity(t, pki.RoleCoordinator, "c2"), "198.51.100.7:99"},
	} {
		r := requestOver(t, c1, c.own)
		r.Header.Set(forwardedHeader, "198.51.100.7:99")
		got := s.receivedFrom(r)
		if got.RemoteAddr != c.want || got.Header.Get(forwardedHeader) != "" {
			t.Errorf("%s: %s, %v", name, got.RemoteAddr, got.Header)
		}
	}
}

// requestOver returns a request as a server of an identity has it from a client of another one.
func requestOver(t *testing.T, server, own *pki.Identity) *http.Request {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is the client that is judged
	if own != nil {
		cfg = own.Client(pki.RoleCoordinator)
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	done := make(chan error, 1)
	go func() { done <- tls.Client(near, cfg).HandshakeContext(t.Context()) }()
	conn := tls.Server(far, server.Server())
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	state := conn.ConnectionState()
	r := httptest.NewRequest("GET", "/v1/videos", nil)
	r.TLS = &state
	return r
}
