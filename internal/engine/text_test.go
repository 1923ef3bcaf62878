package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/underrace"
)

// TestStoryboards makes clips of scenes: of one prompt throughout it is the prompt's clip, of two
// it is neither's, and the same on any mesh.
func TestStoryboards(t *testing.T) {
	underrace.Skip(t, "texts are shared among ranks as in TestATextIsEncodedOnce")
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
	a.dropTextEncoder()
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

// TestATokenizerWithIdsThatTheTextEncoderLacksIsRefused adds a token beyond the encoder's
// embeddings.
func TestATokenizerWithIdsThatTheTextEncoderLacksIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS(golden.Root("testdata", "golden", "tiny3"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tokenizer", "tokenizer.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const list = `"added_tokens": [`
	more := strings.Replace(string(data), list, list+`{"content": "<extra_id_0>"},`, 1)
	if err := os.WriteFile(path, []byte(more), 0o600); err != nil || more == string(data) {
		t.Fatal(err, len(more))
	}
	f, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	_, err = New(f, Devices{Main: dev, Decode: dev}, compute.FP32)
	if err == nil || !strings.Contains(err.Error(), "the tokenizer has 452 pieces, the text encoder 451") {
		t.Error(err)
	}
}
