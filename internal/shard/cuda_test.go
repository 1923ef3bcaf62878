//go:build cuda

package shard

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/cuda"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
)

// TestAClipOnGPUsIsTheSameOnAnyNumberOfThem makes a whole clip: text, steps, decoder.
func TestAClipOnGPUsIsTheSameOnAnyNumberOfThem(t *testing.T) {
	k := startCluster(t, 0, ownServers)
	k.device = DeviceCUDA
	for _, name := range []string{"a", "b", "c"} {
		k.add(name, ownServers(0))
	}
	if name := k.shards[0].dev.Name(); !strings.HasPrefix(name, "cuda: ") {
		t.Fatalf("the device is %q", name)
	}
	k.sameLatents("", []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 2, Ulysses: 1}, {CFG: 1, Ulysses: 3}})
}

// small is request at 32x32, whose convolutions are the most that an emulated GPU computes.
func small(frames, steps int) job.Request {
	side, r := 32, request(frames, steps, 0, job.Mesh{})
	r.Width, r.Height = &side, &side
	return r
}

// TestTwoExpertsOnGPUs makes clips of a model with two transformers, in memory together or one at a
// time, and of one with a timestep for each token.
func TestTwoExpertsOnGPUs(t *testing.T) {
	for name, how := range map[string][]engine.Residency{"a14b": {engine.Resident, engine.Swap},
		"ti2v": {engine.Auto, engine.Auto}} {
		t.Run(name, func(t *testing.T) {
			k := startCluster(t, 0, ownServers)
			k.device, k.model = DeviceCUDA, golden.Twin(t, name)
			for i, experts := range how {
				k.addWith(string("ab"[i]), ownServers(0), func(c *Config) { c.Experts = experts })
			}
			r, wide := small(1, 2), 64
			r.Width = &wide // a frame of 32x32 is one token of ti2v
			k.sameLatentsOf(r, "", []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 2, Ulysses: 1},
				{CFG: 1, Ulysses: 2}})
		})
	}
}

// TestLoRAsOnGPUs makes clips of a model with two transformers, each changed by a LoRA.
func TestLoRAsOnGPUs(t *testing.T) {
	k := startCluster(t, 0, ownServers)
	k.device, k.model = DeviceCUDA, golden.Twin(t, "a14b")
	ink := map[string]string{"ink": k.paint("rich", "")}
	for _, name := range []string{"a", "b"} {
		k.addWith(name, ownServers(0), func(c *Config) { c.LoRAs = ink })
	}
	r, meshes := small(1, 2), []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 2, Ulysses: 1}}
	plain := k.sameLatentsOf(r, "", meshes[:1])
	r.LoRAs = []job.LoRA{{Name: "ink", Scale: 0.7}}
	if k.sameLatentsOf(r, "", meshes) == plain {
		t.Error("the LoRA changes nothing")
	}
}

// TestAControlledClipOnGPUsIsTheSameOnAnyNumberOfThem makes a clip by a model of two transformers
// that follows a part of a video.
func TestAControlledClipOnGPUsIsTheSameOnAnyNumberOfThem(t *testing.T) {
	k := startCluster(t, 0, ownServers)
	k.device, k.model = DeviceCUDA, golden.Twin(t, "vace22")
	for _, name := range []string{"a", "b"} {
		k.add(name, ownServers(0))
	}
	r := small(1, 2)
	r.Inputs = []job.Input{k.film(job.RoleVideo, 1), k.film(job.RoleMask, 1)}
	k.sameLatentsOf(r, "", []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 1, Ulysses: 2}})
}

func TestADamagedModelOnGPUsFailsItsJobs(t *testing.T) { damagedModelFails(t, DeviceCUDA) }

// TestPicturesOnGPUs makes clips from pictures: through an image encoder, and as a condition.
func TestPicturesOnGPUs(t *testing.T) {
	k := startCluster(t, 0, ownServers)
	k.device, k.model = DeviceCUDA, golden.Twin(t, "flf2v")
	for _, name := range []string{"a", "b"} {
		k.addWith(name, ownServers(0), func(*Config) {})
	}
	k.sameLatentsOf(k.withPictures(small(5, 2), job.RoleStart, job.RoleLast), "",
		[]job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 2, Ulysses: 1}, {CFG: 1, Ulysses: 2}})
}

// sameLatents makes a clip with each mesh and wants the latents of the first, or those given.
func (k *cluster) sameLatents(want string, meshes []job.Mesh) string {
	k.t.Helper()
	return k.sameLatentsOf(small(1, 2), want, meshes)
}

// sameLatentsOf is sameLatents of a clip of one's own.
func (k *cluster) sameLatentsOf(r job.Request, want string, meshes []job.Mesh) string {
	t := k.t
	t.Helper()
	for _, m := range meshes {
		r.Mesh = m
		v := k.await(k.create(r), never)
		if v.State != job.Completed {
			t.Fatalf("mesh %v: %s: %s", m, v.State, v.Error)
		}
		if want == "" {
			want = v.Result.LatentsSHA256
		}
		if v.Result.LatentsSHA256 != want || v.Plan.Mesh != m {
			t.Errorf("mesh %v, run as %v: latents %.12s, others %.12s", m, v.Plan.Mesh,
				v.Result.LatentsSHA256, want)
		}
	}
	return want
}

// machine starts a shard on each GPU of a process and waits for them.
func (k *cluster) machine(name, gpus string) *Machine {
	k.t.Helper()
	m, err := StartMachine(k.t.Context(), Config{Name: name, Device: DeviceAuto, GPUs: gpus,
		TempDir: k.t.TempDir(), Model: golden.Root("testdata", "golden", "tiny3"),
		Data: ownServers(0), ControlOptions: inProcess(k.c)})
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		if err := m.Close(); err != nil {
			k.t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	for _, s := range m.Shards() {
		if err := s.Registered(ctx); err != nil {
			k.t.Fatal(err)
		}
	}
	return m
}

// TestAMachineOfGPUs makes clips on the GPUs of one process, then on those and a shard elsewhere,
// and wants the latents of one GPU.
func TestAMachineOfGPUs(t *testing.T) {
	t.Setenv("EMU_GPUS", "3")
	k := startCluster(t, 0, ownServers)
	m := k.machine("a", "all")
	n := len(m.Shards())
	if name := m.Shards()[n-1].Name(); name != fmt.Sprintf("a-gpu%d", n-1) {
		t.Errorf("the last shard is called %q", name)
	}
	one := job.Mesh{CFG: 1, Ulysses: 1}
	meshes := []job.Mesh{one, {CFG: 1, Ulysses: 2}, {CFG: 1, Ulysses: 3}, {CFG: 2, Ulysses: 1}}
	if n < 3 {
		meshes = meshes[:n]
	}
	want := k.sameLatents("", meshes)
	k.device = DeviceCUDA
	k.add("b", ownServers(0))
	if n == 3 {
		k.sameLatents(want, []job.Mesh{{CFG: 2, Ulysses: 2}})
	}
	handoff := &m.Shards()[0].cfg.Process.handoff
	if left, handed := handoff.Attempts(), handoff.Handed(); left != 0 || n > 1 && handed == 0 {
		t.Errorf("%d attempts have left something behind, of %d pieces handed over", left, handed)
	}
}

func TestWhichGPUs(t *testing.T) {
	t.Setenv("EMU_GPUS", "3")
	n, err := cuda.Count()
	if err != nil {
		t.Fatal(err)
	}
	all, err := namedGPUs(DeviceAuto, "all")
	if err != nil || len(all) != n {
		t.Errorf("all: %v, %v", all, err)
	}
	for _, of := range [][2]string{{DeviceCUDA, fmt.Sprint(n - 1)}, {fmt.Sprint("cuda:", n-1), ""}} {
		if got, err := namedGPUs(of[0], of[1]); err != nil || len(got) != 1 || got[0] != n-1 {
			t.Errorf("the last one, by %q: %v, %v", of, got, err)
		}
	}
	if got, err := namedGPUs(DeviceCPU, ""); err != nil || got != nil {
		t.Errorf("none: %v, %v", got, err)
	}

	// What was written is what the error names.
	for _, bad := range []string{"0,0", "-1", "x", "99", ","} {
		for given, of := range map[string][2]string{"gpus is ": {DeviceCUDA, bad},
			"device is ": {"cuda:" + bad, ""}} {
			got, err := namedGPUs(of[0], of[1])
			if err == nil || !strings.HasPrefix(err.Error(), given) {
				t.Errorf("%q is %v: %v", of, got, err)
			}
		}
	}
	if _, err := namedGPUs(DeviceCPU, "all"); err == nil {
		t.Error("GPUs were taken although device is cpu")
	}
}

// TestTheTypeOfConvolutionsIsPartOfTheGPUsArithmetic, so that no cluster mixes them. A CPU has no
// choice.
func TestTheTypeOfConvolutionsIsPartOfTheGPUsArithmetic(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for dtype, want := range map[string]string{"": "cuda-v3", "fp32": "cuda-v3",
		"bf16": "cuda-v3-vae-bf16"} {
		dev, _, err := openDevices(Config{Device: DeviceCUDA, VAEDType: dtype}, log)
		if err != nil {
			t.Fatal(err)
		}
		if got := dev.Arithmetic(); got != want {
			t.Errorf("with %q it is %q", dtype, got)
		}
		dev.Close()
	}
	for dtype, device := range map[string]string{"bf16": DeviceCPU, "fp8": DeviceCUDA} {
		_, _, err := openDevices(Config{Device: device, VAEDType: dtype}, log)
		if err == nil || !strings.HasPrefix(err.Error(), "vae-dtype is") {
			t.Errorf("%s on %s: %v", dtype, device, err)
		}
	}
}
