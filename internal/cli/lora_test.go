package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/shard"
)

// TestLoRAs makes one clip with a LoRA in three ways: from a file with shards of this process, by
// the name under which those of a coordinator have it, and from a file that is sent there.
func TestLoRAs(t *testing.T) {
	twin := golden.Twin(t, "t2v")
	f, err := model.Open(twin)
	if err != nil {
		t.Fatal(err)
	}
	shapes := f.Transformer.Shapes()
	f.Close()
	paths := map[string]string{}
	for _, layout := range []string{"kohya", "original"} {
		paths[layout] = filepath.Join(t.TempDir(), layout+".safetensors")
		data := golden.Safetensors(t, golden.LoRA("plain", layout, shapes))
		if err := os.WriteFile(paths[layout], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := local.Start(t.Context(), local.Config{Models: []shard.ModelDir{{Dir: twin}}, Shards: 1,
		Threads: 1, Auth: api.OpenAuth(), Transport: "mem", LoRAs: map[string]string{"paint": paths["kohya"]}, Data: t.TempDir(),
		Listen: "127.0.0.1:0", Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	alone(t)

	clip := func(args ...string) string {
		t.Helper()
		r := longtake(t, append([]string{"generate", "-p", "a", "--size", "32x32", "--frames", "1",
			"--steps", "2", "--seed", "3", "--json"}, args...)...)
		lines := strings.Split(strings.TrimSpace(r.out), "\n")
		var last resultLine
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || r.code != 0 {
			t.Fatalf("%v: %+v", args, r)
		}
		return last.LatentsSHA256
	}
	here, there := []string{"--model", twin}, []string{"--coordinator", l.URL}
	plain := clip(here...)
	want := clip(append(here, "--lora", paths["kohya"]+":0.5")...)
	if plain == want {
		t.Error("the LoRA changes nothing")
	}
	for _, lora := range []string{"paint:0.5", paths["original"] + ":0.5"} {
		if got := clip(append(there, "--lora", lora)...); got != want {
			t.Errorf("%s: other latents than from a file with shards of this process", lora)
		}
	}
	if got := clip(append(here, "--lora", paths["original"]+":0.25", "--lora",
		paths["kohya"]+":0.25")...); got == plain || got == want {
		t.Error("two LoRAs do not add up")
	}

	for want, args := range map[string][]string{
		`--lora is "oil"; allowed: paint`: append(there, "--lora", "oil"),
		"which is no file":                append(here, "--lora", "paint:2"),
		"a file that cannot be read":      append(there, "--lora", "clip.webm"),
		"it is for another model":         {"--lora", paths["kohya"]},
	} {
		r := longtake(t, append([]string{"generate", "-p", "a", "--frames", "1"}, args...)...)
		if r.code != 2 || !strings.Contains(r.err, want) {
			t.Errorf("%v: %+v, want %q", args, r, want)
		}
	}
}
