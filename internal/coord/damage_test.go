package coord

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
)

// worked returns a data directory with a snapshot and entries behind it, as a coordinator left it.
func worked(t *testing.T) (dir string, id job.ID) {
	t.Helper()
	dir = t.TempDir()
	c := start(t, testConfig(dir))
	f := fake(t, c, "a")
	create(t, c, request(2))
	rc := c.cons.raft.ReloadableConfig()
	rc.TrailingLogs = 1
	if err := c.cons.raft.ReloadConfig(rc); err != nil {
		t.Fatal(err)
	}
	if err := c.cons.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	id = create(t, c, request(2))
	f.leave()
	closed(t, c)
	return dir, id
}

// TestDamagedDataIsNamed starts a coordinator on data that is damaged in one way or another: it
// says in one line what, and what to do. Undamaged, it has its jobs.
func TestDamagedDataIsNamed(t *testing.T) {
	dir, id := worked(t)
	flip := func(path string, at func(size int) int) {
		data, err := os.ReadFile(path)
		if err == nil {
			data[at(len(data))] ^= 1
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	third := func(size int) int { return size / 3 }
	snapshot := func(dir, name string) string {
		all, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", name))
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	for what, c := range map[string]struct {
		says   string
		damage func(dir string)
	}{
		"an entry": {"entry", func(dir string) { damageEntry(t, dir, "a ball", "a bull") }},
		"its end":  {"entry", func(dir string) { damageEntry(t, dir, "queued_max", "queued\xffmax") }},
		"the log is cut": {"raft.db", func(dir string) {
			if err := os.Truncate(filepath.Join(dir, "raft.db"), 2*int64(os.Getpagesize())); err != nil {
				t.Fatal(err)
			}
		}},
		"pages are zero": {"raft.db", func(dir string) { wipe(t, filepath.Join(dir, "raft.db")) }},
		"the log is gone": {"raft.db is missing or empty", func(dir string) {
			os.Remove(filepath.Join(dir, "raft.db"))
		}},
		"a snapshot is flipped":    {"snapshots/", func(dir string) { flip(snapshot(dir, "state.bin"), third) }},
		"a snapshot is cut":        {"snapshots/", func(dir string) { os.Truncate(snapshot(dir, "state.bin"), 99) }},
		"a snapshot is empty":      {"snapshots/", func(dir string) { os.Remove(snapshot(dir, "state.bin")) }},
		"a snapshot is not listed": {"snapshots/", func(dir string) { os.Remove(snapshot(dir, "meta.json")) }},
		"snapshots are gone":       {"raft.db begins at entry", func(dir string) { os.RemoveAll(filepath.Join(dir, "snapshots")) }},
	} {
		t.Run(what, func(t *testing.T) {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			c.damage(copied)
			got, err := Start(context.Background(), testConfig(copied))
			if err == nil {
				got.Close()
				t.Fatal("it starts")
			}
			for _, want := range []string{c.says, copied, "coordinator recover"} {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v; want %q", err, want)
				}
			}
		})
	}
	c := start(t, testConfig(dir))
	if _, err := c.Get(context.Background(), id); err != nil {
		t.Error(err)
	}
}

// damageEntry changes bytes of the entries of a log, and keeps their length.
func damageEntry(t *testing.T, dir, from, to string) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "raft.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	changed := 0
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("logs"))
		return b.ForEach(func(k, v []byte) error {
			if !bytes.Contains(v, []byte(from)) {
				return nil
			}
			changed++
			return b.Put(slices.Clone(k), bytes.ReplaceAll(v, []byte(from), []byte(to)))
		})
	})
	if err != nil || changed == 0 {
		t.Fatalf("%d entries changed, %v", changed, err)
	}
}

// wipe overwrites all pages of a database but those that say where the others are.
func wipe(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[2*os.Getpagesize():])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestACoordinatorThatCannotGoOnSaysSo applies a damaged entry to a coordinator that runs.
func TestACoordinatorThatCannotGoOnSaysSo(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	f := &replicated{c.loop, c.audit, c.fail, c.authority.Store}
	f.Apply(&raft.Log{Index: 9, Data: []byte("{")})
	next(t, c.Ended(), "its end")
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "entry 9") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	eventually(t, "it does not lead any more", func() bool { return !c.leads() })
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "entry 9") {
		t.Errorf("it is ready: %v", err)
	}
}

// TestDamagedEntriesAreNotTaken offers entries to a log, as another coordinator may.
func TestDamagedEntriesAreNotTaken(t *testing.T) {
	g, err := openLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	good := core.Seal([]byte(`{"v":6,"kind":"cluster","cluster":"c"}`))
	servers := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "c1"}}})
	for i, c := range []struct {
		l  raft.Log
		ok bool
	}{
		{raft.Log{Data: good}, true}, {raft.Log{Data: good[:20]}, false},
		{raft.Log{Type: raft.LogNoop}, true}, {raft.Log{Type: 99}, false},
		{raft.Log{Type: raft.LogConfiguration, Data: servers}, true},
		{raft.Log{Type: raft.LogConfiguration, Data: []byte("x")}, false},
	} {
		c.l.Index = uint64(i + 1)
		if err := g.StoreLog(&c.l); (err == nil) != c.ok {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestALogThatIsLostWhileItIsUsedEndsTheCoordinator damages entries that Raft has stored: its
// goroutine ends, where it would panic.
func TestALogThatIsLostWhileItIsUsedEndsTheCoordinator(t *testing.T) {
	dir := t.TempDir()
	g, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.StoreLog(&raft.Log{Index: 1, Type: raft.LogNoop}); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, "raft.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("logs")).ForEach(func(k, _ []byte) error {
			return tx.Bucket([]byte("logs")).Put(slices.Clone(k), []byte{0xc1})
		})
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}

	if g, err = openLog(dir); err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	why := make(chan error, 1)
	g.fatal = func(err error) { why <- err }
	if err := g.GetLog(1, new(raft.Log)); err == nil {
		t.Fatal("a damaged entry is read")
	}
	if err := g.GetLog(2, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatal(err)
	}
	g.running.Store(true)
	over := make(chan struct{})
	go func() {
		defer close(over)
		g.GetLog(1, new(raft.Log)) //nolint:errcheck // it does not return
		t.Error("Raft would panic now")
	}()
	next(t, over, "the goroutine's end")
	if err := next(t, why, "a reason"); !strings.Contains(err.Error(), "raft.db") {
		t.Error(err)
	}
}
