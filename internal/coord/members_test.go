package coord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/freeport"
	"github.com/longtake/longtake/internal/job"
)

// patient lets a leader stay the leader on a loaded machine.
func patient(c *Config) { c.Timing.Election = 1500 * time.Millisecond }

// TestDeadAddressesAreNotAdded adds coordinators that do not answer, and one under another's name:
// the cluster goes on. Nor is one removed without which there is no majority, unless that is
// forced.
func TestDeadAddressesAreNotAdded(t *testing.T) {
	ctx := context.Background()
	all, addrs := three(t, patient)
	lead := all[0]
	fake(t, lead, "a")
	for i, addr := range freeport.Addrs(3) {
		s, err := lead.AddMember(ctx, Peer{ID: fmt.Sprint("dead", i), Raft: addr})
		var f *job.FieldError
		if !errors.As(err, &f) || f.Field != "raft_address" || len(s.Members) > 0 {
			t.Fatalf("%+v, %v", s.Members, err)
		}
	}
	cfg := member(t.TempDir(), "c3", addrs)
	cfg.Raft.Join = true
	start(t, cfg)
	for what, p := range map[string]Peer{
		"c3":             {ID: "c9", Raft: addrs[6]},
		"another one":    {ID: "c9", Raft: addrs[0]},
		"remove the mem": {ID: all[1].cfg.ID, Raft: addrs[6]},
		"a URL":          {ID: "c3", Raft: addrs[6], HTTP: "nowhere"},
	} {
		if _, err := lead.AddMember(ctx, p); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	create(t, lead, request(1))

	closed(t, all[2])
	eventually(t, "the dead one is seen to be", func() bool {
		return lead.keepsQuorum(all[1].cfg.ID) != nil
	})
	if err := second(lead.RemoveMember(ctx, all[1].cfg.ID, false)); err == nil {
		t.Error("one is removed without which there is no majority")
	}
	create(t, lead, request(1))
	s, err := lead.RemoveMember(ctx, all[2].cfg.ID, false)
	if err != nil || len(s.Members) != 2 {
		t.Fatalf("%+v, %v", s.Members, err)
	}
}

// TestOneCoordinatorOfThreeIsRecovered loses two of three for good. The third has the jobs, as a
// cluster of its own.
func TestOneCoordinatorOfThreeIsRecovered(t *testing.T) {
	all, addrs := three(t, patient)
	f := fake(t, all[0], "a")
	id := create(t, all[0], request(1))
	f.finish(all[0], f.told())
	untilState(t, all[0], id, job.Completed)
	left := all[1]
	eventually(t, "the third knows", func() bool {
		r, ok := record(left, id)
		return ok && r.State == job.Completed
	})
	f.leave()
	for _, c := range all {
		closed(t, c)
	}

	if _, err := Recover(left.cfg, []Peer{{ID: "c9", Raft: addrs[0]}}, false); err == nil {
		t.Error("it is recovered as a member of a cluster without it")
	}
	r, err := Recover(left.cfg, []Peer{left.cfg.peer()}, false)
	if err != nil || r.Jobs != 1 || r.Dropped != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	again := start(t, left.cfg) // among addresses of others, none of whom is a member
	eventually(t, "it leads", func() bool { return again.leads() })
	if v, err := again.Get(t.Context(), id); err != nil || v.State != job.Completed {
		t.Fatalf("%+v, %v", v, err)
	}
	closed(t, again)

	if _, err := Recover(left.cfg, nil, false); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(left.cfg.Data)
	cfg.ID = left.cfg.ID
	alone := start(t, cfg)
	v, err := alone.Get(t.Context(), id)
	if err != nil || v.State != job.Completed {
		t.Fatalf("%+v, %v", v, err)
	}
	o, err := alone.Open(t.Context(), v.Result.Video)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if text, err := io.ReadAll(o); err != nil || string(text) != "video of "+string(id) {
		t.Fatalf("%q, %v", text, err)
	}
}

// TestDamagedDataIsRecovered gives up what cannot be read, if it may.
func TestDamagedDataIsRecovered(t *testing.T) {
	dir, id := worked(t)
	for what, c := range map[string]struct {
		damage func(dir string)
		kept   int // jobs
	}{
		"nothing": {func(string) {}, 2},
		"an entry": {func(dir string) {
			damageEntry(t, dir, "a ball", "a bull")
		}, 1},
		"the log is gone": {func(dir string) { os.Remove(filepath.Join(dir, "raft.db")) }, 1},
		"pages are zero":  {func(dir string) { wipe(t, filepath.Join(dir, "raft.db")) }, 1},
	} {
		t.Run(what, func(t *testing.T) {
			copied := func() Config {
				cfg := testConfig(t.TempDir())
				cfg.fill()
				if err := os.CopyFS(cfg.Data, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				c.damage(cfg.Data)
				return cfg
			}
			if _, err := Recover(copied(), nil, false); (err == nil) != (what == "nothing") {
				t.Fatalf("without --drop-damaged: %v", err)
			}
			cfg := copied()
			r, err := Recover(cfg, nil, true)
			if err != nil || r.Jobs != c.kept {
				t.Fatalf("%+v, %v", r, err)
			}
			again := start(t, cfg)
			if _, err := again.Get(t.Context(), id); (err == nil) != (c.kept == 2) {
				t.Error(err)
			}
		})
	}
	gone := t.TempDir()
	if _, err := Recover(testConfig(gone), nil, true); err == nil {
		t.Error("an empty directory is recovered")
	}
}
