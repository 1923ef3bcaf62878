package shard

import (
	"bytes"
	"testing"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/underrace"
)

// withPictures returns r for a clip from one picture to another, which are stored.
func (k *cluster) withPictures(r job.Request, roles ...job.Role) job.Request {
	k.t.Helper()
	for i, role := range roles {
		_, data := golden.Picture(k.t, 80, 64, i+1)
		o, err := k.c.StoreInput(k.t.Context(), bytes.NewReader(data))
		if err != nil {
			k.t.Fatal(err)
		}
		r.Inputs = append(r.Inputs, job.Input{Role: role, Kind: job.KindImage, Object: o})
	}
	return r
}

// latent stores an initial latent of so many latent frames of 64 x 64.
func (k *cluster) latent(frames int) job.Input {
	k.t.Helper()
	x := make([]float32, 16*frames*8*8)
	diffusion.NewGenerator(5).Stream(len(x), func(at int, v []float32) { copy(x[at:], v) })
	data := golden.Safetensors(k.t, map[string]tensor.Tensor{
		"latents": tensor.FromFloat32(x, 1, 16, frames, 8, 8)})
	o, err := k.c.StoreInput(k.t.Context(), bytes.NewReader(data))
	if err != nil {
		k.t.Fatal(err)
	}
	return job.Input{Role: job.RoleLatent, Kind: job.KindLatents, Object: o,
		Shape: [4]int{16, frames, 8, 8}}
}

// TestAClipFromPicturesOutlivesItsShards stops a shard in the middle of a clip from one picture to
// another, which begins with a given latent, and then rank 0's, which has encoded both: the clip
// has the latents of one that nothing disturbs, and the pictures go with the job.
func TestAClipFromPicturesOutlivesItsShards(t *testing.T) {
	underrace.Skip(t, "TestAClipWithLoRAsOutlivesItsShards has inputs that shards fetch")
	k := startCluster(t, 0, ownServers)
	k.model = golden.Twin(t, "flf2v")
	for _, name := range []string{"a", "b", "c"} {
		k.addWith(name, ownServers(0), func(*Config) {})
	}
	r := k.withPictures(request(9, 8, 0, job.Mesh{}), job.RoleStart, job.RoleLast)
	r.Inputs = append(r.Inputs, k.latent(3))
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
}
