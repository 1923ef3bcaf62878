package shard

import (
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// TestStoryboards makes clips of scenes: of one prompt throughout it is the prompt's clip, of two it
// is neither's, and the same on any mesh.
func TestStoryboards(t *testing.T) {
	clip := func(m job.Mesh, scenes ...string) (string, *attempts) {
		a := newAttempts(t, m)
		s := &a.plan.Spec
		s.Prompt = scenes[0]
		if len(scenes) > 1 {
			length := float64(s.Frames) / float64(s.FPS)
			for i, p := range scenes {
				at := length * float64(i) / float64(len(scenes))
				s.Scenes = append(s.Scenes, job.Scene{Start: at, Prompt: p})
			}
		}
		return a.run().LatentsSHA256, a
	}
	one, long := "a ball", "a very small boat moving over the sea"
	ball, _ := clip(partMeshes[0], one)
	boat, _ := clip(partMeshes[0], long)
	both, a := clip(partMeshes[0], one, long)
	wide, _ := clip(partMeshes[1], one, long)
	if both == ball || both == boat || both != wide {
		t.Errorf("one scene %.8s, the other %.8s, both %.8s and on four ranks %.8s", ball, boat, both,
			wide)
	}
	var names []string
	for name := range a.parts {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"latents", "text.1", "text.scene.0", "text.scene.1"}
	if !slices.Equal(names, want) {
		t.Errorf("parts %v, want %v", names, want)
	}
	a.deaf()
	delete(a.parts, job.PartLatents)
	if again := a.run().LatentsSHA256; again != both {
		t.Errorf("a later attempt makes %.8s, not %.8s", again, both)
	}
}

// TestTheDemoTakesAnyCapitals wants the ids of the small letters, and other models left alone.
func TestTheDemoTakesAnyCapitals(t *testing.T) {
	shipped, tiny := engine(t, 1, "models", "demo"), engine(t, 1, "testdata", "golden", "tiny3")
	const small = "a red ball bouncing over the sea at sunset"
	want, _ := shipped.tokenize(small)
	for _, prompt := range []string{"A Red Ball Bouncing Over The Sea At Sunset", strings.ToUpper(small)} {
		if got, _ := shipped.tokenize(prompt); !slices.Equal(got, want) {
			t.Errorf("%q has the ids %v; want %v", prompt, got, want)
		}
		if got, _ := tiny.tokenize(prompt); slices.Equal(got, want) {
			t.Errorf("%q is in small letters for a model that does not ask for it", prompt)
		}
	}
}
