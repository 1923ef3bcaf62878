package api

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
)

// TestRoutesThatChangeTheCluster goes through what operators do to nodes and coordinators.
func TestRoutesThatChangeTheCluster(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	ctx := context.Background()
	if n, err := c.Drain(ctx, "a", 90*time.Second); err != nil || n.Name != "a" ||
		n.Deadline.Unix() != 90 {
		t.Errorf("%+v, %v", n, err)
	}
	if n, err := c.Undrain(ctx, "a"); err != nil || n.State != "idle" {
		t.Errorf("%+v, %v", n, err)
	}
	for _, within := range []string{"-1", "x", "NaN", "1e9"} {
		status, body, _ := do(t, c, "POST", "/v1/nodes/a/drain?within="+within, "", "")
		if status != 400 || !strings.Contains(body, "within") {
			t.Errorf("within %s: %d %s", within, status, body)
		}
	}
	s, err := c.AddMember(ctx, schema.Peer{ID: "c4", Raft: "h:1", HTTP: "http://h"})
	if err != nil || len(s.Members) != 1 || s.Members[0].Raft != "h:1" {
		t.Errorf("%+v, %v", s, err)
	}
	if status, body, _ := do(t, c, "POST", "/v1/cluster/members", "application/json",
		`{"name":"x"}`); status != 400 || !strings.Contains(body, "raft_address") {
		t.Errorf("%d %s", status, body)
	}
	if _, err := c.RemoveMember(ctx, "c4", false); err != nil {
		t.Error(err)
	}
	if s, err := c.TransferLeader(ctx, "c2"); err != nil || s.Leader != "c2" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := c.Restore(ctx, []byte("{}")); err != nil {
		t.Error(err)
	}
	r, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "{}" {
		t.Errorf("%s, %v", b, err)
	}
}

func TestOperatorsRoutes(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	ctx := context.Background()
	for _, want := range [][2]string{{"/livez", "ok\n"}, {"/readyz", "ok\n"},
		{"/readyz?verbose", "[+] shards"}, {"/metrics", "longtake_http_request_duration_seconds"}} {
		if status, body, _ := do(t, c, "GET", want[0], "", ""); status != 200 ||
			!strings.Contains(body, want[1]) {
			t.Errorf("%s: %d %q", want[0], status, body)
		}
	}
	nodes, err := c.Nodes(ctx)
	if err != nil || len(nodes) != 1 {
		t.Errorf("%v %v", nodes, err)
	}
	var models schema.ModelList
	_, body, _ := do(t, c, "GET", "/v1/models", "", "")
	if err := json.Unmarshal([]byte(body), &models); err != nil || len(models.Data) != 1 ||
		models.Data[0].Details.Heads != 6 {
		t.Errorf("%s %v", body, err)
	}
	st, err := c.Cluster(ctx)
	if err != nil || st.ID != "c1" {
		t.Errorf("%v %v", st, err)
	}
	for body, says := range map[string]string{`{"id": "c4", "raft": "h:1"}`: `unknown field "raft"`,
		`{"id": 4}`: "id is 4; allowed: a text", `{"id": "c4"`: "ends in the middle"} {
		if status, text, _ := do(t, c, "POST", "/v1/cluster/members", "application/json", body); status !=
			400 || !strings.Contains(text, says) && !strings.Contains(text,
			strings.ReplaceAll(says, `"`, `\"`)) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	f.err = coord.ErrNotReady
	for _, path := range []string{"/readyz", "/readyz?verbose"} {
		if status, body, _ := do(t, c, "GET", path, "", ""); status != 503 {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}
