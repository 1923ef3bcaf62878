package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/audit"
)

// auditServer is a coordinator of which only the audit log is there, with n entries.
func auditServer(t *testing.T, n int, edit func(*schema.AuditStatus)) (text []byte) {
	t.Helper()
	var h audit.Head
	for range n {
		var e audit.Entry
		e, h = h.Next(audit.Entry{Time: time.Unix(1, 0), Action: "video.create", Outcome: audit.Refused,
			Object: "video_1", Reason: "no\x1b[31m", Actor: audit.Actor{Name: "ann", Owner: "key_a"},
			Details: map[string]string{"count": "3"}})
		text = append(append(text, e.Line()...), '\n')
	}
	s := schema.AuditStatus{Coordinator: "c1", Head: h, Files: audit.State{First: 1, Last: h}}
	edit(&s)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/audit/status" {
			json.NewEncoder(w).Encode(s) //nolint:errcheck // the test sees what is missing
			return
		}
		if r.URL.Query().Get("actor") == "bob" {
			return
		}
		w.Write(text) //nolint:errcheck // likewise
	}))
	t.Cleanup(srv.Close)
	t.Setenv("LONGTAKE_URL", srv.URL)
	return text
}

func TestAuditCommands(t *testing.T) {
	dir, _ := alone(t)
	text := auditServer(t, 3, func(*schema.AuditStatus) {})
	path := filepath.Join(dir, "a.jsonl")
	f := func(code int, want string, args ...string) {
		t.Helper()
		r := longtake(t, append([]string{"audit"}, args...)...)
		if r.code != code || !strings.Contains(r.out+r.err, want) || strings.Contains(r.out, "\x1b") {
			t.Errorf("%v: %+v, want %d and %q", args, r, code, want)
		}
	}
	f(0, "video.create       video_1  refused, 3 times: no", "tail")
	f(0, `"action":"video.create"`, "tail", "--json")
	f(0, "", "tail", "--actor", "bob")
	f(0, "     3  ", "tail", "-n", "1", "--actor", "ann")
	f(2, "allowed", "tail", "-n", "-1")
	f(0, "c1, whose files end where Raft says", "verify")
	f(0, string(text), "export")
	f(0, "", "export", "-o", path, "--from", "1")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	f(0, "entries      1 to 3, none changed or missing", "verify", path)
	f(0, `"entries":3`, "verify", path, "--json")

	// Cut in two, the parts are verified together, and the second one alone says what it lacks.
	half := len(text) / 3
	second := filepath.Join(dir, "b.jsonl")
	for name, b := range map[string][]byte{path: text[:half], second: text[half:]} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f(0, "entries      1 to 3", "verify", path, second)
	f(0, "before them  1 ", "verify", second)
	f(1, "b.jsonl:1 is entry 2 behind entry 3", "verify", second, second)
	f(1, "no such file", "verify", second+"x")

	wrong := bytes.Replace(text, []byte("video_1"), []byte("video_2"), 1)
	if err := os.WriteFile(path, wrong, 0o600); err != nil {
		t.Fatal(err)
	}
	f(1, "a.jsonl:1 has the hash", "verify", path)
}

// TestAuditOfAWrongCoordinator verifies files that do not end where Raft says, or are not written.
func TestAuditOfAWrongCoordinator(t *testing.T) {
	alone(t)
	f := func(want string, edit func(*schema.AuditStatus)) {
		t.Helper()
		auditServer(t, 3, edit)
		if r := longtake(t, "audit", "verify"); r.code != 1 || !strings.Contains(r.err, want) {
			t.Errorf("%+v, want %q", r, want)
		}
	}
	f("Raft has entry 4", func(s *schema.AuditStatus) { s.Head.Seq = 4 })
	f("the disk is full", func(s *schema.AuditStatus) { s.Files.Problem = "the disk is full" })
}

// TestLastLines writes lines in pieces: those of one key are picked from a long answer.
func TestLastLines(t *testing.T) {
	l := lastLines{n: 2}
	for _, p := range []string{"a\nb", "b\nc\n", "", "d\ne"} {
		if n, err := l.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := strings.Join(l.lines, ""); got != "c\nd\n" {
		t.Errorf("%q", got)
	}
}
