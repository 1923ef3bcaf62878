package plan

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// TestMemoryFollowsTheMesh wants ranks that share a window to need less each, and groups that each
// compute a branch to need no less.
func TestMemoryFollowsTheMesh(t *testing.T) {
	m := costly()
	s := clipOf(t, m, 448, 256, 33, 4)
	one := MemoryOf(m, s, job.Mesh{CFG: 1, Ulysses: 1})
	four := MemoryOf(m, s, job.Mesh{CFG: 1, Ulysses: 4})
	if one.Weights != four.Weights || one.Decode <= four.Decode {
		t.Errorf("alone %v; of four %v", one, four)
	}
	if r := float64(one.Denoise) / float64(four.Denoise); r < 1.5 || r > 4 {
		t.Errorf("denoising alone takes %.2f times what it takes of one of four", r)
	}
	if branch := MemoryOf(m, s, job.Mesh{CFG: 2, Ulysses: 1}); branch.Denoise > one.Denoise {
		t.Errorf("one branch %v; both %v", branch, one)
	}
	skips := s
	skips.StepCache = 0.1
	for mesh, passes := range map[job.Mesh]int{{CFG: 1, Ulysses: 1}: 2, {CFG: 2, Ulysses: 1}: 1} {
		more := MemoryOf(m, skips, mesh).Denoise - MemoryOf(m, s, mesh).Denoise
		if want := passes * m.Tokens(s.Frames, s.Height, s.Width) * m.Heads * m.HeadDim * 4; int(more) != want {
			t.Errorf("skipped steps take %d bytes on %v, want %d", more, mesh, want)
		}
	}
	s.DType = "bf16"
	if half := MemoryOf(m, s, job.Mesh{CFG: 1, Ulysses: 1}); half.Weights != 24<<20 {
		t.Errorf("in bf16 %v", half)
	}
	s.DType, s.LoRAs = "fp32", []job.LoRA{{Name: "paint", Scale: 1}}
	m.Cost.Memory.Weights["fp32+lora"] = 80 << 20
	if with := MemoryOf(m, s, job.Mesh{CFG: 1, Ulysses: 1}); with.Weights != 80<<20 {
		t.Errorf("with a LoRA %v", with)
	}
	if text := one.String(); !strings.Contains(text, "weights 42 MB, denoising ") {
		t.Error(text)
	}
}

// TestAMeshThatFitsIsPreferred gives shards too little for a window each, and then too little for
// anything.
func TestAMeshThatFitsIsPreferred(t *testing.T) {
	m := costly()
	s := clipOf(t, m, 448, 256, 33, 4)
	cfg, ulysses := job.Mesh{CFG: 2, Ulysses: 1}, job.Mesh{CFG: 1, Ulysses: 2}
	whole, shared := MemoryOf(m, s, cfg).Least(), MemoryOf(m, s, ulysses).Least()
	if shared >= whole {
		t.Fatalf("%d bytes of two ranks that share a window, %d of one", shared, whole)
	}
	for memory, want := range map[int64]job.Mesh{0: cfg, whole: cfg, shared: ulysses, 1: cfg} {
		got, err := Mesh(m, s, 2, memory)
		if err != nil || got != want {
			t.Errorf("with %d bytes: %v, %v; want %v", memory, got, err, want)
		}
	}
}

// TestKindsAreOfWhatCounts tells clips that differ in what they take from those that do not.
func TestKindsAreOfWhatCounts(t *testing.T) {
	s := clipOf(t, costly(), 448, 256, 33, 4)
	for name, c := range map[string]struct {
		change func(*job.Spec)
		same   bool
	}{
		"seed":        {func(s *job.Spec) { s.Seed++ }, true},
		"other words": {func(s *job.Spec) { s.Prompt = strings.ToUpper(s.Prompt) }, true},
		"more words":  {func(s *job.Spec) { s.Prompt += " in the rain" }, false},
		"to avoid":    {func(s *job.Spec) { s.NegativePrompt += "a blurred picture" }, false},
		"steps":       {func(s *job.Spec) { s.Steps++ }, false},
		"a scene": {func(s *job.Spec) {
			s.Scenes = []job.Scene{{Prompt: strings.Repeat("a long scene", 40)}}
		}, false},
	} {
		o := s
		if c.change(&o); (Kind(o) == Kind(s)) != c.same {
			t.Errorf("%s: %s; before %s", name, Kind(o), Kind(s))
		}
	}
}
