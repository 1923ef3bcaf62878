package shard

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/underrace"
)

// causalModel is a folder of a causal model.
func causalModel(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "causal")
	if err := os.CopyFS(dir, os.DirFS(golden.Root("testdata", "golden", "tiny7"))); err != nil {
		t.Fatal(err)
	}
	text := []byte(`{"causal": {"block": 3, "window": 9, "sink": 3}, "sizes": ["32x32"], "fps": 4}`)
	if err := os.WriteFile(filepath.Join(dir, "longtake.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestACausalClipOutlivesItsShards stops a shard within the second block of a clip and rank 0's
// within the fourth, once its first seconds can be watched. The clip goes on with fewer shards, to
// the same latents and the same video.
func TestACausalClipOutlivesItsShards(t *testing.T) {
	underrace.Skip(t,
		"shards end as in TestAClipOutlivesItsShards, blocks are made in package engine")
	k := startCluster(t, 0, ownServers)
	k.model = causalModel(t)
	for _, name := range []string{"a", "b", "c"} {
		k.add(name, ownServers(0))
	}
	frames, seed := 57, uint64(7) // five blocks of four steps and one
	r := job.Request{Prompt: "a red ball", Frames: &frames, Seed: &seed, Format: "webm"}
	undisturbed := k.await(k.create(r), never)
	if undisturbed.State != job.Completed || undisturbed.Spec.Long != job.LongCausal {
		t.Fatalf("the undisturbed job is %s: %s", undisturbed.State, undisturbed.Error)
	}
	k.idle(3)

	k.gate.hold(6)
	id := k.create(r)
	v := k.await(id, func(v coord.View) bool { return v.Checkpoint.Step == 4 })
	k.named(v.Plan.Nodes[1]).Close()
	k.gate.hold(16)
	v = k.await(id, func(v coord.View) bool {
		return v.Attempt == 2 && v.Checkpoint.Step == 14 && len(v.Seconds()) > 0
	})
	k.named(v.Plan.Nodes[0]).Close()
	k.gate.open()

	v = k.completed(id, undisturbed.Result.LatentsSHA256)
	if v.Result.Video.SHA256 != undisturbed.Result.Video.SHA256 {
		t.Errorf("video %.12s, undisturbed %.12s", v.Result.Video.SHA256,
			undisturbed.Result.Video.SHA256)
	}
	if len(v.Losses) != 2 || v.Plan.Resume.Step != 14 || len(v.Plan.Nodes) != 1 {
		t.Errorf("%d attempts were lost, the last one began at step %d, on %d shards", len(v.Losses),
			v.Plan.Resume.Step, len(v.Plan.Nodes))
	}
	if v.Result.FramesReused == 0 {
		t.Error("all frames were decoded again")
	}
}
