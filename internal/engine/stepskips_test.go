package engine

import (
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/underrace"
)

func TestFullSteps(t *testing.T) {
	for _, c := range []struct {
		distances []float64
		threshold float64
		want      string // x: in full
	}{
		{nil, 0.1, ""},
		{[]float64{0}, 1, "x"},
		{[]float64{0, 0.1, 0.1, 0.1}, 1e-9, "xxxx"},
		{[]float64{0, 0, 0}, 1e-9, "x--"},
		{[]float64{0, 0.25, 0.25, 0.25, 0.25}, 0.5, "x-x-x"}, // at the threshold
		{[]float64{0, 0.25, 0.5, 0.25, 0.25, 0.25}, 0.75, "x-x--x"},
		{[]float64{0, 0.1, 0.1, 2, 0.1}, 1, "x--x-"},
		{[]float64{9, 0.5, 0.25}, 1, "x--"}, // the first one's says nothing
	} {
		got := ""
		for _, full := range fullSteps(c.distances, c.threshold) {
			got += map[bool]string{true: "x", false: "-"}[full]
		}
		if got != c.want {
			t.Errorf("%v at %v: %s, want %s", c.distances, c.threshold, got, c.want)
		}
	}
}

// skipping are clips of which steps are skipped, in models of one transformer and of two, in windows
// together and one by one. Each has steps of both kinds.
func skipping(t *testing.T) map[string]skippingClip {
	long := longSpec(golden.Open(t, "long_windows_14"))
	long.Steps, long.Frames, long.Width, long.Height, long.StepCache = 5, 33, 32, 32, 0.3
	experts := spec(golden.Open(t, "a14b_unipc"))
	experts.Steps, experts.StepCache = 10, 1
	short := spec(golden.Open(t, "tiny3_e2e"))
	short.Steps, short.StepCache = 7, 0.3
	tiny := golden.Root("testdata", "golden", "tiny3")
	return map[string]skippingClip{"short": {tiny, short}, "windows": {tiny, long},
		"extend": {tiny, extending(long)}, "experts": {golden.Twin(t, "a14b"), experts}}
}

type skippingClip struct {
	dir  string
	spec job.Spec
}

// make runs a clip on a mesh, from a checkpoint, and returns the sum of its latents, rank 0's passes
// and the checkpoints.
func (c skippingClip) make(t *testing.T, m job.Mesh, from job.Checkpoint, every int,
	objects artifact.Store) (sum string, passes int, at []job.Checkpoint) {
	engines := make([]*Engine, m.Size())
	for r := range engines {
		engines[r] = blind(engineIn(t, compute.FP32, 1+r%2, c.dir))
	}
	nodes := make([]StepCache, m.Size()) // what is in them must not be taken for the whole step
	plan := job.Plan{Spec: c.spec, Mesh: m, Resume: from, CheckpointEvery: every}
	if from.Step > 0 {
		plan.Attempt = 2
	}
	sum = attempt(t, engines, inMemory(t, m.Size()), plan, objects, func(k *testRank) {
		k.StepCache = &nodes[k.Rank]
		if k.Rank == 0 {
			k.computed = countPasses(&passes)
		}
		if k.Rank == 0 && every == 1 && from.Step == 0 {
			k.everyCheckpoint(t, func(c job.Checkpoint) { at = append(at, c) })
		}
	}).LatentsSHA256
	return sum, passes, at
}

// TestSkippedStepsAreTheSameOnAnyMesh, and after any checkpoint: there is one before each step that
// runs all blocks, and none else.
func TestSkippedStepsAreTheSameOnAnyMesh(t *testing.T) {
	one := job.Mesh{CFG: 1, Ulysses: 1}
	for name, c := range skipping(t) {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "short" && name != "windows" {
				t.Skip("of a kind with one of the others")
			}
			if name != "windows" {
				underrace.Skip(t, "windows have the same groups of ranks, and seams")
			}
			objects := artifact.NewMemory()
			meshes := []job.Mesh{{CFG: 2, Ulysses: 2}, {CFG: 1, Ulysses: 3}}
			if name == "windows" {
				meshes = append(meshes, job.Mesh{Window: 2, CFG: 2, Ulysses: 1})
			}
			want, passes, at := c.make(t, one, job.Checkpoint{}, 1, objects)

			// Each step in full has as many passes, and but for the first a checkpoint before it.
			total := c.spec.TotalSteps()
			full := len(at) // the last one is of the whole clip
			if full < 3 || full >= total || passes%full != 0 || at[full-1].Step != total {
				t.Fatalf("%d checkpoints and %d passes in %d steps: %+v", full, passes, total, at)
			}
			t.Logf("%d of %d steps in full, checkpoints after %v", full, total, steps(at))
			for i, from := range underrace.Some(at[:full-1], 2) { // ranks read each in the same way
				m := meshes[i%len(meshes)]
				if got, _, _ := c.make(t, m, from, 1, objects); got != want {
					t.Errorf("from step %d on %s: latents %.12s, undisturbed %.12s", from.Step, m, got, want)
				}
			}
			for _, m := range meshes[len(meshes)-1:] {
				if got, _, _ := c.make(t, m, job.Checkpoint{}, 0, objects); got != want {
					t.Errorf("%s: latents %.12s, on one rank %.12s", m, got, want)
				}
			}
		})
	}
}

func steps(at []job.Checkpoint) (out []int) {
	for _, c := range at {
		out = append(out, c.Step)
	}
	return out
}

// TestAThresholdThatSkipsNothing makes the same clip as without, and one that skips makes another.
func TestAThresholdThatSkipsNothing(t *testing.T) {
	underrace.Skip(t, "one rank; TestSkippedStepsAreTheSameOnAnyMesh has several")
	c := skipping(t)["short"]
	sums := map[float64]string{}
	for _, threshold := range []float64{0, 1e-9, 0.3} {
		c.spec.StepCache = threshold
		sums[threshold], _, _ = c.make(t, job.Mesh{CFG: 1, Ulysses: 1}, job.Checkpoint{}, 0,
			artifact.NewMemory())
	}
	if sums[0] != sums[1e-9] || sums[0] == sums[0.3] {
		t.Errorf("latents by threshold: %v", sums)
	}
}

// TestCheckpointsWaitForAFullStep where they are asked for less often than after every step.
func TestCheckpointsWaitForAFullStep(t *testing.T) {
	r := &run{skips: &stepSkips{}}
	for _, c := range "x--x-xx---" {
		r.skips.full = append(r.skips.full, c == 'x')
	}
	for every, want := range map[int][]int{0: nil, 1: {3, 5, 6, 10}, 2: {3, 5, 6, 10}, 4: {5, 10},
		6: {6}, 7: {10}} {
		r.Plan.CheckpointEvery = every
		var got []int
		for done := 1; done <= len(r.skips.full); done++ {
			if (&checkpointer{r: r}).due(done) {
				got = append(got, done)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("every %d: due after %v, want %v", every, got, want)
		}
	}
}

// TestResidualsAreCounted in what a clip needs of a machine's memory.
func TestResidualsAreCounted(t *testing.T) {
	underrace.Skip(t, "one rank; TestSkippedStepsAreTheSameOnAnyMesh has several")
	c := skipping(t)["windows"]
	need := map[float64]int64{}
	for _, c.spec.StepCache = range []float64{0, 0.3} {
		e, dev := countingEngine(t, c.dir)
		attempt(t, []*Engine{e}, inMemory(t, 1), job.Plan{Spec: c.spec,
			Mesh: job.Mesh{CFG: 1, Ulysses: 1}}, artifact.NewMemory(), nil)
		if most := dev.meter.Peak(); dev.planned < most || dev.planned > most*3/2 {
			t.Errorf("%v: %d bytes were set aside, %d were allocated", c.spec.StepCache, dev.planned, most)
		}
		need[c.spec.StepCache] = dev.planned
	}
	if need[0.3] <= need[0] {
		t.Errorf("set aside: %v", need)
	}
}
