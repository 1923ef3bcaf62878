package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/coord"
)

// TestRoutesAreAudited walks the routes: whatever changes something has a name in the audit log.
func TestRoutesAreAudited(t *testing.T) {
	known := map[string]bool{}
	for _, rt := range newServer(Config{Service: newFake(),
		Metrics: prometheus.NewRegistry()}).routes(nil) {
		known[rt.label()] = true
		changes := rt.method != http.MethodGet && !changesNothing[rt.label()]
		if changes && actions[rt.label()] == "" {
			t.Errorf("%s changes something and has no action in the audit log: see actions", rt.label())
		}
	}
	for label := range changesNothing {
		if !known[label] {
			t.Errorf("%s is no route", label)
		}
	}
}

// TestRequestsLeaveEntries sends requests to a coordinator and reads what its log says of them.
func TestRequestsLeaveEntries(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	service, err := coord.Start(ctx, coord.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	h := New(Config{Service: service, Metrics: prometheus.NewRegistry(), Auth: everybody})
	last := func() (e audit.Entry) {
		err := service.Audit(ctx, audit.Query{}, func(line []byte) (err error) {
			e, err = audit.ParseLine(line)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}

	f := func(label, path, body, outcome string) {
		t.Helper()
		before := last().Seq
		method, _, _ := strings.Cut(label, " ")
		ask(h, method, path, body, "X-Request-Id: req_7")
		if e := last(); e.Seq <= before || e.Outcome != outcome || e.Action != actions[label] ||
			e.Actor.Request != "req_7" || e.Actor.Addr == "" {
			t.Errorf("%s leaves %+v", label, e)
		}
	}
	f("POST /v1/cluster/members", "/v1/cluster/members", `{"id":"c2","raft_address":"h:1"}`,
		audit.Refused)
	f("DELETE /v1/cluster/members/{id}", "/v1/cluster/members/c2", "", audit.Refused)
	f("POST /v1/cluster/transfer", "/v1/cluster/transfer?to=c2", "", audit.Refused)
	f("POST /v1/cluster/snapshot", "/v1/cluster/snapshot", "{", audit.Refused)
	f("GET /v1/cluster/snapshot", "/v1/cluster/snapshot", "", audit.OK)

	// What the guard refuses is counted, and in the log a moment later.
	ask(h, "POST", "/v1/videos", "{}", "Host: evil.example")
	for e := last(); e.Reason != "host_not_allowed"; e = last() {
		select {
		case <-ctx.Done():
			t.Fatalf("the last entry is %+v", e)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// statusError is an answer with a status.
func statusError(status int) error {
	return &schema.Error{Status: status, Code: fmt.Sprint("code", status), Message: "no"}
}

func TestRefusalsAreCounted(t *testing.T) {
	f := newFake()
	s := newServer(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody})
	for _, code := range []int{400, 401, 403, 404, 429, 500} {
		s.noteRefusal(t.Context(), "POST /v1/videos", statusError(code))
	}
	s.noteRefusal(t.Context(), "POST /v1/videos", coord.ErrQueueFull)
	s.noteRefusal(t.Context(), "GET /v1/nodes", statusError(403))
	want := "video.create code401,video.create code403,video.create code429,GET /v1/nodes code403"
	if got := strings.Join(f.audit.refused, ","); got != want {
		t.Errorf("refusals %s, want %s", got, want)
	}
}

func TestAuditRoute(t *testing.T) {
	f := newFake()
	head := f.audited(3)
	_, c := serve(t, f)
	r, err := c.Audit(t.Context(), url.Values{"from": {"2"}, "to": {"2026-01-31"},
		"actor": {"key_a"}, "action": {"video"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	r.Close()
	if err != nil || !bytes.Equal(b, append(bytes.Join(f.audit.lines, []byte("\n")), '\n')) {
		t.Errorf("%q, %v", b, err)
	}
	// The day is meant to its end.
	want := audit.Query{From: 2, Before: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC).Add(-1),
		Actor: "key_a", Action: "video"}
	if f.audit.query != want {
		t.Errorf("query %+v", f.audit.query)
	}
	var v audit.Verifier
	if err := v.Read(bytes.NewReader(b), "answer"); err != nil || v.Head() != head {
		t.Errorf("verified to %v, %v", v.Head(), err)
	}
	s, err := c.AuditStatus(t.Context())
	if err != nil || s.Coordinator != "c1" || s.Files.First != 1 {
		t.Errorf("status %+v, %v", s, err)
	}

	for _, bad := range []string{"from=0", "from=x", "to=-1", "frm=1", "from=2026-13-01"} {
		if code, body, _ := do(t, c, "GET", "/v1/audit?"+bad, "", ""); code != 400 ||
			!strings.Contains(body, "allowed: ") {
			t.Errorf("%s: %d %s", bad, code, body)
		}
	}

	// A log that breaks off must not look like a whole one.
	f.err = errors.New("the disk is gone")
	if _, err := c.Audit(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("%v", err)
	}
	f.audited(300)
	if r, err = c.Audit(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(r); err == nil || len(b) == 0 {
		t.Errorf("it ends well behind %d bytes", len(b))
	}
	r.Close()
}
