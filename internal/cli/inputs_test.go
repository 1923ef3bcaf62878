package cli

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
)

// built is generate with the built-in model, which goes on from given latents.
func built(args ...string) []string {
	return append([]string{"generate", "--steps", "1", "--guidance-scale", "1", "--shards", "1"},
		args...)
}

// TestExtend makes a clip in one go, and in two with a file of latents in between: both have the
// same latents.
func TestExtend(t *testing.T) {
	_, clean := alone(t)
	make := func(args ...string) {
		t.Helper()
		args = append([]string{"-p", "a ball", "--seed", "3", "--window", "3", "--overlap", "1",
			"--long", "extend", "--size", "32x32"}, args...)
		if r := longtake(t, built(args...)...); r.code != 0 {
			t.Fatalf("%v: %+v", args, r)
		}
	}
	make("--frames", "25", "-o", "one.webm", "--save-latents", "one.safetensors")
	make("--frames", "17", "-o", "a.webm", "--save-latents", "a.safetensors")
	make("--extend", "a.safetensors", "--frames", "8", "-o", "two.webm", "--save-latents",
		"two.safetensors")
	one, _ := os.ReadFile("one.safetensors")
	two, _ := os.ReadFile("two.safetensors")
	if len(one) == 0 || !bytes.Equal(one, two) {
		t.Error("the clip made in two goes has other latents")
	}
	r := longtake(t, built("-p", "", "--extend", "a.safetensors", "--size", "64x32")...)
	if r.code != 2 || !strings.Contains(r.err, "--size") || !strings.Contains(r.err, "32x32") {
		t.Errorf("another size: %+v", r)
	}
	clean("one.webm", "a.webm", "two.webm", "one.safetensors", "a.safetensors", "two.safetensors")
}

// TestStartsOfACluster starts a clip from a picture, and goes on from it by its id.
func TestStartsOfACluster(t *testing.T) {
	alone(t)
	f, err := os.Create("in.png")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	refused := longtake(t, generate("--image", "in.png")...)
	if refused.code != 2 || !strings.Contains(refused.err, "was not trained") ||
		strings.Count(refused.err, "\n") != 1 {
		t.Errorf("a model that cannot: %+v", refused)
	}
	t.Setenv("LONGTAKE_URL", upWith(t, "", t.TempDir()))
	made := func(args ...string) resultLine {
		t.Helper()
		r := longtake(t, built(append(args, "--json", "-o", "out.webm")...)...)
		lines := strings.Split(strings.TrimSpace(r.out), "\n")
		var last resultLine
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || r.code != 0 {
			t.Fatalf("%v: %+v", args, r)
		}
		return last
	}
	first := made("-p", "a ball", "--image", "in.png", "--size", "32x32", "--frames", "9")
	if first.Spec.Inputs[0].Kind != "image" || first.Spec.Frames != 9 {
		t.Errorf("%+v", first.Spec)
	}
	second := made("--extend", string(first.ID), "--frames", "4")
	s := second.Spec
	if s.Frames != 13 || s.Prompt != "a ball" || s.Seed != first.Spec.Seed || s.Given() != 3 {
		t.Errorf("%+v", s)
	}
	if r := longtake(t, built("--extend", "nobody")...); r.code != 1 ||
		strings.Count(r.err, "\n") != 1 {
		t.Errorf("an unknown video: %+v", r)
	}
}

// TestPicturesAtBothEnds makes a clip from one picture to another, and is told what is missing.
func TestPicturesAtBothEnds(t *testing.T) {
	alone(t)
	for i, name := range []string{"a.png", "b.png"} {
		_, data := golden.Picture(t, 60, 40, i)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := func(more ...string) []string {
		return built(append([]string{"-p", "a ball", "--model", golden.Twin(t, "flf2v"), "--size",
			"32x32", "--frames", "5", "-o", "out.webm"}, more...)...)
	}
	if r := longtake(t, args("--image", "a.png", "--last-image", "b.png", "--save-latents",
		"x.safetensors")...); r.code != 0 {
		t.Errorf("%+v", r)
	}
	for says, more := range map[string][]string{
		"is missing; allowed: a picture, from which": {},
		"--last-image is missing":                    {"--image", "a.png"},
		"trained to go on from given latents":        {"--extend", "x.safetensors"},
	} {
		if r := longtake(t, args(more...)...); r.code != 2 || !strings.Contains(r.err, says) ||
			strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v", more, r)
		}
	}
	if r := longtake(t, "plan", "--model", golden.Twin(t, "flf2v"), "--size", "32x32"); r.code != 0 {
		t.Errorf("a plan without pictures: %+v", r)
	}
}

// TestEdits changes a clip by its folder of frames and by its id, and refuses what the model lacks.
func TestEdits(t *testing.T) {
	alone(t)
	t.Setenv("LONGTAKE_URL", upWith(t, "", t.TempDir()))
	made := func(args ...string) resultLine {
		t.Helper()
		r := longtake(t, built(append(args, "--json")...)...)
		lines := strings.Split(strings.TrimSpace(r.out), "\n")
		var last resultLine
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || r.code != 0 {
			t.Fatalf("%v: %+v", args, r)
		}
		return last
	}
	first := made("-p", "a ball", "--size", "32x48", "--frames", "5", "-o", "frames/")
	edit := []string{"-p", "a cube", "--seed", "4", "--strength", "1", "-o", "out.webm"}
	a := made(append(edit, "--video", "frames")...)
	b := made(append(edit, "--video", string(first.ID))...)
	if s := a.Spec; s.Width != 32 || s.Height != 48 || s.Frames != 5 || s.Strength != 1 {
		t.Errorf("%+v", s)
	}
	if a.LatentsSHA256 != b.LatentsSHA256 {
		t.Error("a folder of frames and the clip itself give different latents")
	}
	for says, args := range map[string][]string{
		"takes no mask":            {"--video", "frames", "--mask", "frames"},
		"takes no reference":       {"--reference", "frames/00000.png"},
		"video_none":               {"--video", "video_none"},
		"none without a video":     {"--strength", "0.5"},
		"a folder without picture": {"--video", "."},
	} {
		r := longtake(t, built(append([]string{"-p", "a"}, args...)...)...)
		if r.code == 0 || !strings.Contains(r.err, says) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
