package engine

import (
	"errors"
	"math"
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/underrace"
)

// noiseAsLatent returns s with another seed, and the noise of the one that it had as the initial
// latent, changed by edit where that is not nil.
func noiseAsLatent(t testing.TB, e *Engine, objects artifact.Store, s job.Spec,
	edit func([]float32)) job.Spec {
	t.Helper()
	g, channels := denoisedGrid(e.folder, s), e.folder.Transformer.OutChannels
	all := partition.Range{Hi: g.Tokens()}
	noise := diffusion.WindowNoise(diffusion.NewGenerator(s.Seed), channels, g, s.Window, s.Overlap)
	x := make([]float32, channels*g.T*g.H*g.W)
	diffusion.Scatter(x, noise.Tokens(all), channels, g, all)
	if edit != nil {
		edit(x)
	}
	data := golden.Safetensors(t, map[string]tensor.Tensor{
		"latents": tensor.FromFloat32(x, 1, channels, g.T, g.H, g.W)})
	s.Seed++
	s.Inputs = append(s.Inputs, job.Input{Role: job.RoleLatent, Kind: job.KindLatents,
		Shape: [4]int{channels, g.T, g.H, g.W}, Object: put(t, objects, data)})
	return s
}

// TestALatentTakesThePlaceOfNoise makes the clip of a golden from the noise of its seed as a file,
// with another seed.
func TestALatentTakesThePlaceOfNoise(t *testing.T) {
	underrace.Skip(t, "one rank; the test below has several")
	g, e := golden.Open(t, "twin_t2v"), engineIn(t, compute.FP32, 2, golden.Twin(t, "t2v"))
	objects := artifact.NewMemory()
	p := job.Plan{Spec: noiseAsLatent(t, e, objects, spec(g), nil),
		Mesh: job.Mesh{CFG: 1, Ulysses: 1}}
	res := attempt(t, []*Engine{e}, inMemory(t, 1), p, objects, nil)
	nearReference(t, g, res, objects, 1e-5)
	if p.Spec = spec(g); attempt(t, []*Engine{e}, inMemory(t, 1), p, objects,
		nil).LatentsSHA256 != res.LatentsSHA256 {
		t.Error("the noise of a seed as a file gives other latents than the seed")
	}
}

// TestALatentHasTheSameBytesOnAnyMesh makes clips from the noise of a seed as a file: as a whole,
// in windows, after reference pictures, and with noise after each step. They have the latents of
// the seed on every mesh, also from a checkpoint on.
func TestALatentHasTheSameBytesOnAnyMesh(t *testing.T) {
	base := editCase{Prompt: "a tiny test", Width: 32, Height: 32, Frames: 5, Steps: 2,
		GuidanceScale: 2, Scheduler: "unipc", Seed: 3}
	engines := map[string][]*Engine{}
	for _, folder := range []string{"t2v", "vace"} {
		engines[folder] = sharing(t, 3, golden.Twin(t, folder))
		for _, e := range engines[folder] {
			blind(e)
		}
	}
	meshes := []job.Mesh{{CFG: 1, Ulysses: 2}, {CFG: 1, Ulysses: 3},
		{Window: 2, CFG: 1, Ulysses: 1}}
	for name, folder := range map[string]string{"whole": "t2v", "windows": "t2v", "few": "t2v",
		"references": "vace"} {
		t.Run(name, func(t *testing.T) {
			if name != "references" {
				underrace.Skip(t, "each rank reads the latent for itself, as with references")
			}
			c := base
			if folder == "vace" {
				c.References, c.ConditioningScale = 1, 1
			}
			objects := artifact.NewMemory()
			s := c.withInputs(t, objects)
			switch name {
			case "windows":
				s.Frames, s.Window, s.Overlap, s.Schedule = 9, 2, 1, job.ScheduleUniform
			case "few":
				s.Scheduler, s.Sigmas, s.GuidanceScale = "dmd", []float64{1, 0.5}, 1
			}
			all := engines[folder]
			want := attempt(t, all[:1], inMemory(t, 1), job.Plan{Spec: s,
				Mesh: job.Mesh{CFG: 1, Ulysses: 1}}, objects, nil)
			given := noiseAsLatent(t, all[0], objects, s, nil)
			if name == "few" {
				given.Seed = s.Seed // of what the steps add
			}
			got := attempt(t, all[:1], inMemory(t, 1), job.Plan{Spec: given,
				Mesh: job.Mesh{CFG: 1, Ulysses: 1}}, objects, nil)
			if got.LatentsSHA256 != want.LatentsSHA256 {
				t.Errorf("latents %.12s, of the seed %.12s", got.LatentsSHA256, want.LatentsSHA256)
			}
			anyMesh(t, all, given, objects, meshes)
		})
	}
}

// TestALatentIsChecked wants a stored latent that is not finite, or not of the clip's shape, to
// fail for good.
func TestALatentIsChecked(t *testing.T) {
	g, e := golden.Open(t, "twin_t2v"), engineIn(t, compute.FP32, 1, golden.Twin(t, "t2v"))
	objects := artifact.NewMemory()
	s := noiseAsLatent(t, e, objects, spec(g), func(x []float32) { x[7] = float32(math.NaN()) })
	_, errs := tryAttempt(t, []*Engine{e}, inMemory(t, 1), job.Plan{Spec: s,
		Mesh: job.Mesh{CFG: 1, Ulysses: 1}}, objects, nil)
	if _, ok := errors.AsType[*tensor.NotFiniteError](errs[0]); !ok || !Permanent(errs[0]) {
		t.Errorf("a latent that is not finite: %v", errs[0])
	}
	s = noiseAsLatent(t, e, objects, spec(g), nil)
	s.Frames += 4
	_, errs = tryAttempt(t, []*Engine{e}, inMemory(t, 1), job.Plan{Spec: s,
		Mesh: job.Mesh{CFG: 1, Ulysses: 1}}, objects, nil)
	if _, ok := errors.AsType[*InputError](errs[0]); !ok || !Permanent(errs[0]) {
		t.Errorf("a latent of another shape: %v", errs[0])
	}
}
