package shard

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
)

// paint writes a LoRA for the cluster's model, and returns its path.
func (k *cluster) paint(name, layout string) string {
	k.t.Helper()
	f, err := model.Open(k.model)
	if err != nil {
		k.t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(k.t.TempDir(), "paint.safetensors")
	data := golden.Safetensors(k.t, golden.LoRA(name, layout, f.Transformer.Shapes()))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		k.t.Fatal(err)
	}
	return path
}

// TestAClipWithLoRAsOutlivesItsShards stops a shard before the boundary between two transformers,
// each with a LoRA of its own, and rank 0's behind it. One LoRA is a file that the shards have, the
// other one is stored with the job; a shard that joins in the middle makes its weights anew.
func TestAClipWithLoRAsOutlivesItsShards(t *testing.T) {
	k := startCluster(t, 0, ownServers)
	k.model = golden.Twin(t, "a14b")
	ink := map[string]string{"ink": k.paint("plain", "kohya")}
	add := func(i int) {
		k.addWith(fmt.Sprintf("s%d", i), ownServers(i), func(c *Config) {
			c.LoRAs, c.Experts = ink, []engine.Residency{engine.Resident, engine.Swap}[i%2]
		})
	}
	add(0)
	add(1)

	// With this shift the first three of eight steps are those of the first transformer.
	r := request(5, 8, 0, job.Mesh{})
	plain := k.undisturbed(r)
	r.LoRAs = []job.LoRA{{Name: "ink", Scale: 0.8, Target: job.LoRAFirst},
		{Scale: -0.5, Target: job.LoRASecond}}
	r.Inputs = []job.Input{k.input(job.Input{Role: job.RoleLoRA, Kind: job.KindLoRA},
		k.paint("rich", ""))}
	latents := k.undisturbed(r)
	if latents == plain {
		t.Error("the LoRAs change nothing")
	}

	k.gate.hold(1)
	id := k.create(r)
	v := k.await(id, func(v coord.View) bool { return v.Checkpoint.Step == 2 })
	k.named(v.Plan.Nodes[1]).Close()
	add(2)
	k.gate.hold(5)
	v = k.await(id, func(v coord.View) bool { return v.Attempt == 2 && v.Checkpoint.Step >= 5 })
	k.named(v.Plan.Nodes[0]).Close()
	k.gate.open()

	v = k.completed(id, latents)
	if len(v.Losses) != 2 || v.Plan.Resume.Step < 5 {
		t.Errorf("%d attempts were lost, the last one began at step %d", len(v.Losses),
			v.Plan.Resume.Step)
	}

	// Weights without them are those of the next clip again.
	k.completed(k.create(request(5, 8, 0, job.Mesh{})), plain)
}
