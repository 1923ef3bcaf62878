package shard

import (
	"context"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
)

// longSpec reads the parameters of a golden of a long clip, whose latent has T frames.
func longSpec(g *golden.File) job.Spec {
	s := job.Spec{FPS: 16, DType: "fp32", Format: "png", Scheduler: "unipc", FlowShift: 3}
	g.Meta("prompt", &s.Prompt)
	g.Meta("steps", &s.Steps)
	g.Meta("guidance_scale", &s.GuidanceScale)
	g.Meta("seed", &s.Seed)
	g.Meta("window", &s.Window)
	g.Meta("overlap", &s.Overlap)
	shape := g.Tensor("latents").Shape // [1, C, T, h, w]
	s.Frames, s.Height, s.Width = 4*(shape[2]-1)+1, 8*shape[3], 8*shape[4]
	s.Long = job.LongWindows
	return s
}

// extending is the spec of a clip whose windows are made one after the other.
func extending(s job.Spec) job.Spec {
	stride := s.Window - s.Overlap
	s.Long, s.Blocks = job.LongExtend, 1+((s.Frames-1)/4+1-s.Window+stride-1)/stride
	return s
}

func TestLongClipsEqualTheReference(t *testing.T) {
	for _, name := range []string{"long_windows_11", "long_windows_14", "long_windows_21",
		"long_extend_17"} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "long_windows_11" {
				t.Skip("one of its kind is enough")
			}
			g := golden.Open(t, name)
			s := longSpec(g)
			if name == "long_extend_17" {
				s = extending(s)
			}
			e := engine(t, 2, "models", "demo")
			s.FlowShift = e.sched.FlowShift
			res, objects := generate(t, []*Engine{e}, inMemory(t, 1), s, job.Mesh{CFG: 1, Ulysses: 1})
			golden.Near(t, "latents", latents(t, objects, res), g.Floats("latents"), 1e-4)
		})
	}
}

// TestLongClipsHaveTheSameBytesOnAnyMesh, whether windows are made together or one by one, at the
// same frames in every step or not.
func TestLongClipsHaveTheSameBytesOnAnyMesh(t *testing.T) {
	s := longSpec(golden.Open(t, "long_windows_14"))
	s.Steps, s.Frames, s.Width, s.Height = 3, 57, 32, 48
	uniform := s
	uniform.Schedule = job.ScheduleUniform
	meshes := []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 1, Ulysses: 2}, {CFG: 2, Ulysses: 1},
		{CFG: 1, Ulysses: 3}, {Window: 2, CFG: 1, Ulysses: 1}, {Window: 3, CFG: 1, Ulysses: 1},
		{Window: 2, CFG: 2, Ulysses: 1}, {Window: 3, CFG: 1, Ulysses: 2}, {Window: 2, CFG: 2, Ulysses: 2}}
	f := func(name string, s job.Spec, dt compute.DType, meshes []job.Mesh) {
		t.Run(name, func(t *testing.T) {
			want := ""
			for _, m := range meshes {
				engines := make([]*Engine, m.Size())
				for r := range engines {
					engines[r] = engineOf(t, dt, 1+r%2, "testdata", "golden", "tiny3")
				}
				res, _ := generate(t, engines, inMemory(t, m.Size()), s, m)
				if want == "" {
					want = res.LatentsSHA256
				}
				if res.LatentsSHA256 != want {
					t.Errorf("%s: latents %.12s, others %.12s", m, res.LatentsSHA256, want)
				}
			}
		})
	}
	f("windows", s, compute.FP32, meshes)
	f("bf16", s, compute.BF16, meshes[2:6])
	f("uniform", uniform, compute.FP32, meshes[:6])
	f("extend", extending(s), compute.FP32, meshes[:4])
}

// TestLongClipsGoOnAnywhere stops clips after every step and goes on from the checkpoint on another
// mesh.
func TestLongClipsGoOnAnywhere(t *testing.T) {
	s := longSpec(golden.Open(t, "long_windows_14"))
	s.Steps, s.Frames, s.Width, s.Height = 2, 57, 32, 48
	for _, s := range []job.Spec{s, extending(s)} {
		meshes := []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 1, Ulysses: 3}, {CFG: 2, Ulysses: 1},
			{CFG: 2, Ulysses: 2}}
		if s.Long == job.LongWindows {
			meshes = append(meshes, job.Mesh{Window: 3, CFG: 1, Ulysses: 1},
				job.Mesh{Window: 2, CFG: 2, Ulysses: 1})
		}
		objects := artifact.NewMemory()
		var at []job.Checkpoint
		run := func(m job.Mesh, from job.Checkpoint) string {
			engines := make([]*Engine, m.Size())
			for r := range engines {
				engines[r] = engine(t, 1, "testdata", "golden", "tiny3")
			}
			plan := job.Plan{Spec: s, Mesh: m, Resume: from, CheckpointEvery: 1}
			return attempt(t, engines, inMemory(t, m.Size()), plan, objects, func(k *Rank) {
				k.Saved = func(_ context.Context, c job.Checkpoint) error {
					if from.Step == 0 {
						at = append(at, c)
					}
					return nil
				}
				k.Note = func(what string, err error) { t.Errorf("%s: %v", what, err) }
			}).LatentsSHA256
		}
		want := run(meshes[len(meshes)-1], job.Checkpoint{})
		for i, c := range at {
			m := meshes[i%len(meshes)]
			if got := run(m, c); got != want {
				t.Errorf("%s: from step %d on %s: latents %.12s, undisturbed %.12s", s.Long, c.Step, m,
					got, want)
			}
		}
		if !slices.ContainsFunc(at, func(c job.Checkpoint) bool { return c.Step < s.TotalSteps() }) {
			t.Errorf("%s: nothing to go on from", s.Long)
		}
	}
}
