package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/keyfile"
)

// TestKeysAndTeams makes a key with the local one, and uses it.
func TestKeysAndTeams(t *testing.T) {
	dir, _ := alone(t)
	t.Setenv("LONGTAKE_URL", up(t, t.TempDir()))
	ok := func(want string, args ...string) string {
		t.Helper()
		r := longtake(t, args...)
		if r.code != 0 || !strings.Contains(r.out+r.err, want) {
			t.Errorf("%v: %+v, want %q", args, r, want)
		}
		return r.out
	}
	refuses := func(want string, args ...string) {
		t.Helper()
		if r := longtake(t, args...); r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%v: %+v, want %q", args, r, want)
		}
	}
	text := ok("shown once", "key", "create", "--name", "ci", "--scopes", "videos:read", "--quota",
		"queued=10,device-seconds=3600", "--team", "red", "--expires", "720h")
	ok("queued=10,device-seconds=3600", "key", "list")
	ok("running=4", "team", "set", "red", "--quota", "running=4")
	ok("red", "team", "list")
	ok("drained", "node", "drain", "shard-0")
	ok("idle", "node", "undrain", "shard-0")

	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	mine := []string{"--api-key-file", file}
	ok("", append(mine, "job", "list")...)
	refuses("needs scope nodes:write", append(mine, "node", "drain", "shard-0")...)
	refuses("needs scope admin", append(mine, "key", "list")...)
	t.Setenv("LONGTAKE_API_KEY", strings.TrimSpace(text))
	refuses("needs scope admin", "key", "list")
	if r := longtake(t, "config", "show"); strings.Contains(r.out, "lt_") ||
		!strings.Contains(r.out, "xxxxx") {
		t.Errorf("%+v", r)
	}
	path, err := keyfile.LocalPath()
	if err != nil {
		t.Fatal(err)
	}
	root := []string{"--api-key-file", path} // a flag wins over the variable
	newer := ok("works until", append(root, "key", "rotate", "ci")...)
	ok("", "job", "list")
	ok("videos:read, metrics", append(root, "key", "update", "ci", "--scopes",
		"metrics,videos:read")...)
	ok("revoked", append(root, "key", "revoke", "ci")...)
	refuses("was revoked", "--api-key", strings.TrimSpace(newer), "job", "list")
	refuses("not known", "--api-key", "lt_nonsense", "job", "list")
	ok("", append(root, "team", "remove", "red")...)
}

func TestKeysBadInput(t *testing.T) {
	alone(t)
	refused(t, map[string][]string{
		"--name is|allowed":                {"key", "create"},
		"--scopes is|root|admin":           {"key", "create", "--name", "a", "--scopes", "root"},
		"--quota queued is|jobs":           {"key", "create", "--name", "a", "--quota", "queued=-1"},
		"--quota is|device-seconds":        {"team", "set", "a", "--quota", "que=1"},
		"--quota is missing":               {"team", "set", "a"},
		"--team is":                        {"key", "create", "--name", "a", "--team", "a b"},
		"--expires is":                     {"key", "create", "--name", "a", "--expires", "-1s"},
		"--overlap is":                     {"key", "rotate", "a", "--overlap", "10000h"},
		"nothing is to be changed":         {"key", "update", "a"},
		"api-key-file|cannot read|no such": {"job", "list", "--api-key-file", "/none"},
	})
}
