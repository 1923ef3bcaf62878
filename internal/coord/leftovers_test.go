package coord

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLeftoversGo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nats")
	if err := dropLeftovers(dir); err != nil {
		t.Errorf("before the first start: %v", err)
	}
	msgs := filepath.Join(dir, "jetstream", "msgs")
	if err := os.MkdirAll(msgs, 0o700); err != nil {
		t.Fatal(err)
	}
	stays := map[string]bool{"1.blk": true, "2.new": false, "3.blk.tmp": false, "index.db": true}
	for name := range stays {
		if err := os.WriteFile(filepath.Join(msgs, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := dropLeftovers(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range stays {
		if _, err := os.Stat(filepath.Join(msgs, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
