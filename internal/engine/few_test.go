package engine

import (
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// TestFewSteps makes a clip with each preset: as the reference's loop does, on two ranks, and from
// each checkpoint, for which fresh noise has to be drawn again.
func TestFewSteps(t *testing.T) {
	g := golden.Open(t, "few_steps")
	engines := sharing(t, 2, golden.Twin(t, "t2v"))
	for _, e := range engines {
		blind(e)
	}
	m, err := Describe(engines[0].folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, preset := range []string{"4step", "fastwan"} {
		t.Run(preset, func(t *testing.T) {
			golden := spec(g)
			s, err := m.Resolve(job.Request{Prompt: golden.Prompt, Preset: preset, Width: &golden.Width,
				Height: &golden.Height, Frames: &golden.Frames, Seed: &golden.Seed,
				Format: string(media.PNG)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			fewSteps(t, engines, s, g.Floats(preset))
		})
	}
}

func fewSteps(t *testing.T, engines []*Engine, s job.Spec, want []float32) {
	t.Helper()
	objects := artifact.NewMemory()
	p := job.Plan{Spec: s, CheckpointEvery: 1, Mesh: job.Mesh{CFG: 1, Ulysses: 1}}
	var checkpoints []job.Checkpoint
	whole := attempt(t, engines[:1], inMemory(t, 1), p, objects, func(k *testRank) {
		k.everyCheckpoint(t, func(c job.Checkpoint) { checkpoints = append(checkpoints, c) })
	})
	golden.Near(t, "latents", latentsOf(t, objects, whole), want, 1e-5)
	if len(checkpoints) != s.Steps {
		t.Fatalf("%d checkpoints of %d steps", len(checkpoints), s.Steps)
	}

	p.Mesh = job.Mesh{CFG: 1, Ulysses: 2}
	for _, c := range append([]job.Checkpoint{{}}, checkpoints[:s.Steps-1]...) {
		p.Resume = c
		if res := attempt(t, engines, inMemory(t, 2), p, objects, nil); res.LatentsSHA256 !=
			whole.LatentsSHA256 {
			t.Errorf("on two ranks after step %d: latents %.12s, undisturbed %.12s", c.Step,
				res.LatentsSHA256, whole.LatentsSHA256)
		}
	}
}
