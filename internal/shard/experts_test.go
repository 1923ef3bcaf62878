package shard

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/underrace"
)

// TestAClipOfTwoExpertsOutlivesItsShards stops a shard at the boundary between the two transformers
// of a model, and rank 0's behind it. Some shards have both in memory, others one at a time.
func TestAClipOfTwoExpertsOutlivesItsShards(t *testing.T) {
	underrace.Skip(t, "TestAClipWithLoRAsOutlivesItsShards has two experts")
	k := startCluster(t, 0, ownServers)
	k.model = golden.Twin(t, "a14b")
	for i, how := range []engine.Residency{engine.Resident, engine.Swap, engine.Swap} {
		k.addWith(string("abc"[i]), ownServers(0), func(c *Config) { c.Experts = how })
	}

	// With this shift the first three of eight steps are those of the first transformer.
	r, second := request(5, 8, 0, job.Mesh{}), 2.0
	r.GuidanceScale2 = &second
	latents := k.undisturbed(r)
	k.gate.hold(2)
	id := k.create(r)
	v := k.await(id, func(v coord.View) bool { return v.Checkpoint.Step == 3 })
	k.named(v.Plan.Nodes[1]).Close()
	k.gate.hold(5)
	v = k.await(id, func(v coord.View) bool { return v.Attempt == 2 && v.Checkpoint.Step >= 5 })
	k.named(v.Plan.Nodes[0]).Close()
	k.gate.open()

	v = k.completed(id, latents)
	if len(v.Losses) != 2 || v.Plan.Resume.Step < 5 {
		t.Errorf("%d attempts were lost, the last one began at step %d", len(v.Losses),
			v.Plan.Resume.Step)
	}
	if s := v.Spec; s.GuidanceScale2 != second || s.GuidanceScale != 4 {
		t.Errorf("the scales are %v and %v", s.GuidanceScale, s.GuidanceScale2)
	}
}

// TestAMissingExpertIsTheWholeReason that a job fails for, at its first attempt.
func TestAMissingExpertIsTheWholeReason(t *testing.T) {
	k := startCluster(t, 0, ownServers)
	k.model = golden.Twin(t, "a14b")
	file := filepath.Join(k.model, "model_index.json")
	index, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	index = bytes.Replace(index, []byte(`"transformer_2"`), []byte(`"_transformer_2"`), 1)
	if err := os.WriteFile(file, index, 0o600); err != nil {
		t.Fatal(err)
	}
	k.add("a", ownServers(0))
	v := k.await(k.create(request(1, 8, 0, job.Mesh{})), never)
	if v.State != job.Failed || v.Attempt != 1 ||
		!strings.HasSuffix(v.Error, "or another flow_shift may do without") {
		t.Errorf("%s after attempt %d: %s", v.State, v.Attempt, v.Error)
	}
}

// named returns the shard of a node.
func (k *cluster) named(id job.NodeID) *Shard {
	k.t.Helper()
	for _, s := range k.shards {
		if s.id == id {
			return s
		}
	}
	k.t.Fatalf("no shard is node %s", id)
	return nil
}
