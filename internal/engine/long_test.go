package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/underrace"
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
	underrace.Skip(t, "one rank; the test below has several")
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
			e := blind(engine(t, 2, "models", "demo"))
			s.FlowShift = e.sched.FlowShift
			res, objects := generate(t, []*Engine{e}, inMemory(t, 1), s, job.Mesh{CFG: 1, Ulysses: 1})
			golden.Near(t, "latents", latentsOf(t, objects, res), g.Floats("latents"), 1e-4)
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
					engines[r] = blind(engineOf(t, dt, 1+r%2, "testdata", "golden", "tiny3"))
				}
				res, _ := generate(t, engines, inMemory(t, m.Size()), s, m)
				if want == "" {
					want = res.LatentsSHA256
				}
				if res.LatentsSHA256 != want {
					t.Errorf("%s: latents %.12s, others %.12s", m, res.LatentsSHA256, want)
				}
				if name == "windows" || name == "bf16" {
					bytesAsCounted(t, engines[0], s, m, res.StepBytes)
				}
			}
		})
	}
	if testing.Short() {
		f("windows", s, compute.FP32, meshes[5:7])
		f("extend", extending(s), compute.FP32, meshes[:2])
		return
	}
	f("windows", s, compute.FP32, meshes)
	f("bf16", s, compute.BF16, meshes[2:6])
	f("uniform", uniform, compute.FP32, meshes[:6])
	f("extend", extending(s), compute.FP32, meshes[:4])
}

// TestWindowsAreSharedUnevenly, where nodes differ in speed, with the same bytes.
func TestWindowsAreSharedUnevenly(t *testing.T) {
	if testing.Short() {
		t.Skip("one of its kind is enough")
	}
	s := longSpec(golden.Open(t, "long_windows_14"))
	s.Steps, s.Frames, s.Width, s.Height = 2, 85, 32, 48 // 5 windows
	engines := []*Engine{blind(engine(t, 1, "testdata", "golden", "tiny3")),
		blind(engine(t, 2, "testdata", "golden", "tiny3"))}
	one, _ := generate(t, engines[:1], inMemory(t, 1), s, job.Mesh{CFG: 1, Ulysses: 1})
	passes := make([]int, 2)
	plan := job.Plan{Spec: s, Mesh: job.Mesh{Window: 2, CFG: 1, Ulysses: 1}, Shares: []float64{4, 1}}
	res := attempt(t, engines, inMemory(t, 2), plan, artifact.NewMemory(), func(k *testRank) {
		k.computed = countPasses(&passes[k.Rank])
	})
	if res.LatentsSHA256 != one.LatentsSHA256 || passes[0] != 4*4 || passes[1] != 4*1 {
		t.Errorf("passes %v, latents %.12s, alone %.12s", passes, res.LatentsSHA256, one.LatentsSHA256)
	}
}

// countPasses counts passes.
func countPasses(n *int) func(part float64) {
	return func(part float64) {
		if part == 1 {
			*n++
		}
	}
}

// bytesAsCounted wants the ranks to have sent in a step what the planner counts.
func bytesAsCounted(t *testing.T, e *Engine, s job.Spec, m job.Mesh, sent uint64) {
	t.Helper()
	d, err := Describe(e.folder)
	if err != nil {
		t.Fatal(err)
	}
	s.DType = e.dtype.String()
	want := partition.Bytes(m, plan.Load(d, s))
	if sent != uint64(want.Sum()) {
		t.Errorf("%s: %d bytes sent in a step, counted %+v", m, sent, want)
	}
	t.Logf("%s: %d bytes a step, of which seams %d", m, sent, want.Seams)
}

// TestComputedWindowsAreNotComputedAgain loses one of three ranks in the middle of a step, in which
// the others are done with their windows: the next attempt, on any mesh, computes the windows of
// the lost rank alone, to the same bytes.
func TestComputedWindowsAreNotComputedAgain(t *testing.T) {
	s := longSpec(golden.Open(t, "long_windows_14"))
	s.Steps, s.Frames, s.Width, s.Height = 2, 85, 32, 48 // 22 latents: 5 windows of 6
	engines := make([]*Engine, 3)
	for r := range engines {
		engines[r] = blind(engine(t, 1, "testdata", "golden", "tiny3"))
	}
	three := job.Mesh{Window: 3, CFG: 1, Ulysses: 1}
	res, objects := generate(t, engines, inMemory(t, 3), s, three)
	windows := len(plan.Timeline(latentGrid(engines[0].folder, s), s).Windows(0))
	lost := partition.Even(windows, 3)[1].Len()
	// What a rank takes over is redistributed in the same way on any mesh.
	meshes := []job.Mesh{{Window: 2, CFG: 1, Ulysses: 1}, {CFG: 2, Ulysses: 1}}
	for _, m := range underrace.Some(meshes, 1) {
		var nodes [3]StepCache
		plan := job.Plan{Spec: s, Mesh: three, CheckpointEvery: 1}
		var at atomic.Pointer[job.Checkpoint]
		world := inMemory(t, 3)
		_, errs := tryAttempt(t, engines, world, plan, objects, func(k *testRank) {
			k.StepCache = &nodes[k.Rank]
			k.saveCheckpoint = func(_ context.Context, c job.Checkpoint) error {
				at.Store(&c)
				return nil
			}
			done := 0
			count := countPasses(&done)
			k.computed = func(part float64) {
				if count(part); k.Rank == 1 && done > 2*lost { // in its second step
					for at.Load() == nil || len(nodes[0].velocities("video_test", 1))+
						len(nodes[2].velocities("video_test", 1)) < windows-lost {
						time.Sleep(time.Millisecond)
					}
					world[1].Abort()
				}
			}
		})
		if errs[1] == nil || at.Load().Step != 1 {
			t.Fatalf("the attempt went on: %v, checkpoint %d", errs, at.Load().Step)
		}
		passes := make([]int, 2)
		plan = job.Plan{Spec: s, Mesh: m, CheckpointEvery: 1, Resume: *at.Load(), Attempt: 2}
		again := attempt(t, engines[:2], inMemory(t, 2), plan, objects, func(k *testRank) {
			k.StepCache = &nodes[2*k.Rank] // of ranks 0 and 2
			k.saveCheckpoint = func(context.Context, job.Checkpoint) error { return nil }
			k.computed = countPasses(&passes[k.Rank])
		})
		if again.LatentsSHA256 != res.LatentsSHA256 || again.WindowsReused != windows-lost ||
			passes[0]+passes[1] != 2*lost {
			t.Errorf("%s: %d windows reused of %d, %d passes, latents %.12s, undisturbed %.12s", m,
				again.WindowsReused, windows, passes, again.LatentsSHA256, res.LatentsSHA256)
		}
	}
}

// TestLongClipsGoOnAnywhere stops clips after every step and goes on from the checkpoint on another
// mesh.
func TestLongClipsGoOnAnywhere(t *testing.T) {
	s := longSpec(golden.Open(t, "long_windows_14"))
	s.Steps, s.Frames, s.Width, s.Height = 2, 57, 32, 48
	for _, s := range []job.Spec{s, extending(s)} {
		if testing.Short() && s.Long == job.LongWindows {
			continue // one of its kind is enough
		}
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
				engines[r] = blind(engine(t, 1, "testdata", "golden", "tiny3"))
			}
			plan := job.Plan{Spec: s, Mesh: m, Resume: from, CheckpointEvery: 1}
			return attempt(t, engines, inMemory(t, m.Size()), plan, objects, func(k *testRank) {
				if k.Rank == 0 && from.Step == 0 {
					k.everyCheckpoint(t, func(c job.Checkpoint) { at = append(at, c) })
				}
			}).LatentsSHA256
		}
		want := run(meshes[len(meshes)-1], job.Checkpoint{})
		for i, c := range underrace.Some(at, 2) { // ranks read each in the same way
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
