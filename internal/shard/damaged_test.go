package shard

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// damaged copies a model and makes a value of its transformer NaN.
func damaged(t *testing.T, weight string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(golden.Root("testdata", "golden", "tiny3"))); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "transformer", "diffusion_pytorch_model.safetensors")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	x, err := f.Tensor(weight)
	if err != nil || x.DType != tensor.F32 {
		t.Fatal(x.DType, err)
	}
	binary.LittleEndian.PutUint32(x.Data[4:], math.Float32bits(float32(math.NaN())))
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestADamagedModelFailsItsJobs runs a job on shards whose weights are damaged: first as it is,
// where nothing is computed, then without the word of what read the weights, as if an operation had
// gone wrong. Either way no other attempt is made.
func TestADamagedModelFailsItsJobs(t *testing.T) { damagedModelFails(t, DeviceCPU) }

func damagedModelFails(t *testing.T, device string) {
	const weight = "blocks.1.ffn.net.0.proj.bias"
	hub := new(mem.Hub)
	k := startCluster(t, 0, nil)
	k.model, k.device = damaged(t, weight), device
	for _, name := range []string{"a", "b", "c"} {
		k.add(name, DataPlane{Hub: hub})
	}
	fails := func(want ...string) {
		t.Helper()
		id := k.create(request(1, 2, 3, job.Mesh{CFG: 1, Ulysses: 3}))
		v := k.await(id, func(coord.View) bool { return false })
		if v.State != job.Failed {
			t.Fatalf("%s after attempt %d: %s", v.State, v.Attempt, v.Error)
		}
		for _, l := range v.Losses { // a node may be lost on a busy machine, but not by this
			if strings.Contains(l.Reason, "NaN") || strings.Contains(l.Reason, "finite") {
				t.Errorf("attempt %d was lost, and the job went on: %s", l.Attempt, l.Reason)
			}
		}
		for _, w := range want {
			if !strings.Contains(v.Error, w) {
				t.Errorf("%q does not say %q", v.Error, w)
			}
		}
	}
	fails("step 0 of 2", "transformer/"+weight+" is NaN at 1")
	// A job ends with the first report of a failure, and its other ranks may still run.
	for _, s := range k.shards {
		for end := time.Now().Add(patience); s.current() != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("shard %s does not become idle", s.cfg.Name)
			}
		}
		s.models[0].damage = nil
	}
	fails("denoise", "step 1 of 2", "conditional branch", "not finite",
		"weights were finite when they were loaded")
}

// TestShardsOfOneJobHoldTheSameBytes adds a shard whose transformer differs in a bit in the middle
// of a weight.
func TestShardsOfOneJobHoldTheSameBytes(t *testing.T) {
	k := startCluster(t, 1, ownServers)
	dir := damaged(t, "blocks.1.ffn.net.0.proj.weight")
	name := filepath.Join(dir, "transformer", "diffusion_pytorch_model.safetensors")
	data, err := os.ReadFile(golden.Root("testdata", "golden", "tiny3", "transformer",
		"diffusion_pytorch_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), Config{Name: "other", Threads: 1, TempDir: t.TempDir(),
		Models: []ModelDir{{"tiny3", dir}}, Data: ownServers(0), ControlOptions: inProcess(k.c)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Registered(t.Context()); err == nil || !strings.Contains(err.Error(), "fingerprint") {
		t.Errorf("it is taken in: %v", err)
	}
}
