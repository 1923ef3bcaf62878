package keyfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/keyfile"
)

func TestTheLocalKeyIsOfItsUserAlone(t *testing.T) {
	home, data := t.TempDir(), t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("HOME", home)
	path, text, err := keyfile.Local(data)
	if id, ok := access.ParseText(text); err != nil || !ok || id != access.Local ||
		!strings.HasPrefix(path, home) {
		t.Fatalf("%s: %q, %v", path, id, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, again, err := keyfile.Local(data); err != nil || again != text {
		t.Errorf("the second start has another key: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err = keyfile.Local(data)
	if err == nil || !strings.Contains(err.Error(), "0644") || strings.Contains(err.Error(), text) {
		t.Errorf("others can read it: %v", err)
	}
	if err := os.WriteFile(path, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = keyfile.Local(data)
	if err == nil || !strings.Contains(err.Error(), "not a local key") {
		t.Errorf("%v", err)
	}
}

func TestWithoutAHomeTheLocalKeyIsWithTheData(t *testing.T) {
	data := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "")
	path, _, err := keyfile.Local(data)
	if err != nil || filepath.Dir(path) != data {
		t.Errorf("%s, %v", path, err)
	}
}

func TestTheFirstKey(t *testing.T) {
	dir := t.TempDir()
	if _, ok, err := keyfile.ReadAdmin(dir); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	path, err := keyfile.WriteAdmin(dir, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	text, err := keyfile.Read(path)
	k, ok, rerr := keyfile.ReadAdmin(dir)
	if err != nil || rerr != nil || !ok || k.Admit(access.HashText(text), time.Now()) != nil ||
		!k.Scopes.Has(access.Admin) {
		t.Errorf("%+v, %v, %v", k, err, rerr)
	}
	if _, err := keyfile.WriteAdmin(dir, time.Now()); err == nil {
		t.Error("a key was replaced")
	}

	if err := os.WriteFile(filepath.Join(dir, "admin.sha256"), []byte("x y"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := keyfile.ReadAdmin(dir); err == nil {
		t.Error("a damaged file is a key")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.Read(path); err == nil {
		t.Error("an empty file has a key")
	}
}
