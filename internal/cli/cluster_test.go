package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
)

// TestMembersSayWhetherTheyVote lists members as the leader sees them, and as another one does.
func TestMembersSayWhetherTheyVote(t *testing.T) {
	s := schema.Status{ID: "c1", Leader: "c1", Members: []schema.Member{
		{ID: "c1", Leader: true, Voter: true, Reached: true},
		{ID: "c2", Voter: true, Reached: true, Behind: 3}, {ID: "c3", Voter: true},
		{ID: "c4", Reached: true, Behind: 5000}}}
	f := func(want ...string) {
		t.Helper()
		var b bytes.Buffer
		if err := printMembers(&b, s); err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n")[1:] {
			if got := strings.Join(strings.Fields(line), " "); !strings.HasPrefix(got, want[i]) {
				t.Errorf("%q, want %q", got, want[i])
			}
		}
	}
	f("c1 leader up to date", "c2 follower 3 entries behind", "c3 follower out of reach",
		"c4 catching up 5000 entries behind")
	s.ID = "c2"
	f("c1 leader -", "c2 follower -", "c3 follower -", "c4 catching up -")
}

// TestCommandsOfACluster goes through a job's life.
func TestCommandsOfACluster(t *testing.T) {
	alone(t)
	t.Setenv("LONGTAKE_URL", up(t, t.TempDir()))
	ok := func(want string, args ...string) string {
		t.Helper()
		r := longtake(t, args...)
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("%v: %+v, want %q", args, r, want)
		}
		return r.out
	}
	ok("seed 3", "generate", "-p", "x", "--size", "32x32", "--frames", "5", "--steps", "2", "--seed",
		"3", "-o", "a.webm")
	ok("shard-1", "node", "list")
	ok("shard-0", "node", "status", "shard-0")
	ok("leader", "cluster", "members")
	ok("2", "cluster", "status")
	ok("completed", "job", "list")
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(ok("{", "job", "list", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	ok("completed", "job", "status", v.ID)
	ok("completed", "job", "status", "--watch", v.ID)
	ok("completed", "job", "logs", v.ID)
	ok("b.webm", "job", "fetch", v.ID, "-o", "b.webm", "--save-latents", "l.safetensors")
	a, _ := os.ReadFile("a.webm")
	b, _ := os.ReadFile("b.webm")
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Errorf("fetched %d bytes, generated %d", len(b), len(a))
	}
	ok("queued", "job", "retry", v.ID)
	ok("", "job", "delete", v.ID)
	for _, args := range [][]string{{"job", "status", v.ID}, {"job", "cancel", "video_none"},
		{"node", "status", "nobody"}, {"job", "fetch", v.ID}} {
		if r := longtake(t, args...); r.code != 1 || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestUnreachableCoordinator(t *testing.T) {
	alone(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r := run(ctx, "job", "list", "--coordinator", "http://127.0.0.1:1")
	if r.code != 1 || !strings.Contains(r.err, "cannot reach the coordinator at http://127.0.0.1:1") {
		t.Errorf("%+v", r)
	}
}
