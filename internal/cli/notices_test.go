package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// changed copies the tiny model with old replaced by new in one of its files.
func changed(t *testing.T, file, old, new string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(tiny())); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %q: %v", file, old, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAModelWithUnknownKeysIsUsedWithOneNotice(t *testing.T) {
	dir, _ := alone(t)
	model := changed(t, "transformer/config.json", "{", `{"model_type": "ti2v",`)
	for _, args := range [][]string{{"plan", "--model", model, "--size", "32x32", "--frames", "5"},
		generate("--model", model, "-o", filepath.Join(dir, "a.webm"))} {
		r := longtake(t, args...)
		if r.code != 0 || strings.Count(r.err, "notice:") != 1 || !strings.Contains(r.err, "model_type") {
			t.Errorf("%s: %+v", args[0], r)
		}
	}
}

// TestAModelOfFewPositionsMakesWhatFits has a model whose positions reach 160 pixels and 37 frames.
func TestAModelOfFewPositionsMakesWhatFits(t *testing.T) {
	alone(t)
	model := changed(t, "transformer/config.json", `"rope_max_seq_len": 64`, `"rope_max_seq_len": 10`)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 0, "160x80, 37 frames"},
		{"--size 160x160 --frames 5", 0, "160x160, 5 frames"},
		{"--size 176x32", 2, "--size: width is 176; allowed: a multiple of 16 from 16 to 160"},
		{"--size 32x176", 2, "--size: height is 176"},
	} {
		r := longtake(t, append([]string{"plan", "--model", model}, strings.Fields(c.args)...)...)
		if r.code != c.code || !strings.Contains(r.out+r.err, c.want) {
			t.Errorf("%s: %+v", c.args, r)
		}
	}
}

// TestTheDemoSaysWhichWordsItDoesNotKnow makes a clip of capitals and a word that it never saw.
func TestTheDemoSaysWhichWordsItDoesNotKnow(t *testing.T) {
	if testing.Short() {
		t.Skip("three clips of the shipped model")
	}
	dir, _ := alone(t)
	latents := func(prompt string, notices int) []byte {
		t.Helper()
		path := filepath.Join(dir, "l.safetensors")
		r := longtake(t, "generate", "-p", prompt, "--size", "64x64", "--frames", "1", "--steps", "1",
			"--seed", "1", "--shards", "1", "--save-latents", path, "-o", filepath.Join(dir, "a.webm"))
		data, err := os.ReadFile(path)
		if err != nil || r.code != 0 || strings.Count(r.err, "notice:") != notices {
			t.Fatalf("%q: %v %+v", prompt, err, r)
		}
		return data
	}
	small := latents("a red ball over the sea", 0)
	if !bytes.Equal(small, latents("A RED Ball Over The Sea", 0)) {
		t.Error("capitals make another clip")
	}
	latents("an astronaut over the sea", 1)
}
