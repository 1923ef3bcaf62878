package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/golden"
)

// TestFaultsCostNoClip measures a cluster of three coordinators and two shards, all processes, of
// which a shard and the leader are killed meanwhile: every clip is made, and is the one that it is
// without faults.
func TestFaultsCostNoClip(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts processes")
	}
	b, dir := build(t), filepath.Join(t.TempDir(), "out")
	out := b.longtake(t, "", "bench", "serve", "--model", golden.Root("testdata", "golden", "tiny3"),
		"--size", "32x32", "--frames", "5", "--steps", "150", "--count", "4", "--warmup", "0",
		"--faults", "kill=1,leader=1", "--threads", "1", "-o", dir)

	r, err := result.Read(bytes.NewReader(file(t, filepath.Join(dir, "result.json"))))
	if err != nil {
		t.Fatal(err)
	}
	f := r.Faults
	if f == nil || f.Under.Completed != 4 || f.Undisturbed.Completed != 4 || len(f.Events) != 2 ||
		r.Fidelity == nil || r.Fidelity.Compared != 4 || r.Fidelity.Equal != 4 ||
		r.Cohort.Details["coordinators"] != "3" {
		t.Fatalf("%s\n%+v, %+v, %v", out, f, r.Fidelity, r.Cohort.Details)
	}
	for _, e := range f.Events {
		if strings.HasPrefix(e.Target, "(failed") || e.Kind == "leader" && e.Recovery == nil {
			t.Errorf("%+v", e)
		}
	}
	t.Logf("%s", out)
}
