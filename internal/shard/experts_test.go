package shard

import (
	"testing"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
)

// TestAClipOfTwoExpertsOutlivesItsShards stops a shard at the boundary between the two transformers
// of a model, and rank 0's behind it. Some shards have both in memory, others one at a time.
func TestAClipOfTwoExpertsOutlivesItsShards(t *testing.T) {
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
