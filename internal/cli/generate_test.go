package cli

import (
	"bytes"
	"encoding/json"
	"image/png"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGenerate makes the same clip in all formats and on several meshes; latents and frames agree.
func TestGenerate(t *testing.T) {
	dir, clean := alone(t)
	var latents []byte
	for _, args := range [][]string{
		{"--shards", "1", "-o", "a.webm"},
		{"--shards", "3", "-o", "frames/", "--transport", "mem"},
		{"--mesh", "cfg=2,ulysses=2", "--threads", "2", "-o", "frames"},
		{"-o", "b.webm"},
	} {
		r := longtake(t, generate(append(args, "--save-latents", "l.safetensors")...)...)
		if r.code != 0 || r.err == "" || !strings.Contains(r.out, "seed 3") {
			t.Fatalf("%v: %+v", args, r)
		}
		b, err := os.ReadFile("l.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		if latents != nil && !bytes.Equal(b, latents) {
			t.Errorf("%v made other latents", args)
		}
		latents = b
	}
	clean("a.webm", "b.webm", "frames", "l.safetensors")
	a, _ := os.ReadFile("a.webm")
	b, _ := os.ReadFile("b.webm")
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Errorf("a.webm has %d bytes, b.webm %d", len(a), len(b))
	}
	frames, err := os.ReadDir(filepath.Join(dir, "frames"))
	if err != nil || len(frames) != 5 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	f, err := os.Open(filepath.Join(dir, "frames", "00004.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dx() != 32 || img.Bounds().Dy() != 32 {
		t.Errorf("%v, %v", img, err)
	}
}

// TestRatesAndSeedsOfFlags makes a clip at film's rate, of a size as Wan writes it, with a drawn
// seed.
func TestRatesAndSeedsOfFlags(t *testing.T) {
	_, clean := alone(t)
	r := longtake(t, generate("--fps", "24000/1001", "--seed", "-1", "--size", "32*32", "--shards", "1",
		"-o", "a.webm")...)
	if r.code != 0 || !strings.Contains(r.out, "32x32, 5 frames at 23.976 fps") ||
		strings.Contains(r.out, "seed -1") {
		t.Errorf("%+v", r)
	}
	r = longtake(t, generate("--seed", "-2", "--shards", "1", "-o", "a.webm")...)
	if r.code != 0 || !strings.Contains(r.out, "seed 18446744073709551614") {
		t.Errorf("%+v", r)
	}
	clean("a.webm")
}

func TestGenerateJSON(t *testing.T) {
	_, clean := alone(t)
	r := longtake(t, generate("--json", "-o", "c.webm", "--frames", "6", "-p", strings.Repeat("word ", 2000))...)
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	var last resultLine
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("not JSON: %s", l)
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Event != "result" ||
		len(last.LatentsSHA256) != 64 || last.Spec.Seed != 3 || last.Seconds["decode"] <= 0 {
		t.Errorf("%+v, %v", last, err)
	}
	if len(last.Notices) != 2 || !strings.Contains(last.Notices[0], "6 frames were asked for") ||
		!strings.Contains(last.Notices[1], "512") {
		t.Errorf("notices %q", last.Notices)
	}
	clean("c.webm")
}

// damaged copies the tiny model, with one file changed.
func damaged(t *testing.T, file string, change func([]byte) []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(tiny())); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMistakesAreOneLine(t *testing.T) {
	_, clean := alone(t)
	weights := "transformer/diffusion_pytorch_model.safetensors"
	header := damaged(t, weights, func(b []byte) []byte { return append([]byte{255}, b[1:]...) })
	missing := damaged(t, weights, func(b []byte) []byte {
		return bytes.Replace(b, []byte("blocks.0.attn1.to_q.weight"), []byte("blocks.0.attn1.to_x.weight"), 1)
	})
	kind := damaged(t, "model_index.json", func(b []byte) []byte {
		return bytes.Replace(b, []byte("WanPipeline"), []byte("FluxPipeline"), 1)
	})
	if err := os.WriteFile("bad.yaml", []byte("htp:\n  listen: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	check := func(code int, parts string, args ...string) {
		t.Helper()
		r := longtake(t, args...)
		if r.code != code || strings.Count(r.err, "\n") != 1 || r.out != "" {
			t.Errorf("%.120q: %+v, want code %d and one line", args, r, code)
		}
		for _, p := range strings.Split(parts, "|") {
			if !strings.Contains(r.err, p) {
				t.Errorf("%.120q: %q lacks %q", args, r.err, p)
			}
		}
	}
	check(2, "--shards is 7; allowed: 6 ", generate("--shards", "7")...)
	check(2, "--size: width is 40|16", generate("--size", "40x32")...)
	check(2, "--frames is 0|1 to ", generate("--frames", "0")...)
	check(2, "--steps is 0", generate("--steps", "0")...)
	check(2, "--mesh", generate("--mesh", "cfg=3")...)
	check(2, "--mesh", generate("--mesh", "ulysses=9")...)
	check(2, "--guidance-scale", generate("--guidance-scale", "-1")...)
	check(2, "--scheduler", generate("--scheduler", "ddim")...)
	check(2, "--transport", generate("--transport", "tcp")...)
	check(2, "--threads", generate("--threads", "-1")...)
	check(2, "seconds", generate("--seconds", "1")...)
	check(2, "clip.avi", generate("-o", "clip.avi")...)
	check(2, "no folder", generate("-o", "no/such/clip.webm")...)
	check(2, "no folder", generate("--save-latents", "no/such/l.st")...)
	check(2, "-p", "generate")
	check(2, "--storyboard|no such", "generate", "--storyboard", "none.yaml")
	check(2, "--storyboard bad.yaml|htp", "generate", "--storyboard", "bad.yaml")
	check(2, "--extend is|which is no file", generate("--extend", "video_1")...)
	check(2, "--extend bad.yaml|of another kind", generate("--extend", "bad.yaml")...)
	check(2, "--image|no such", generate("--image", "none.png")...)
	check(2, "--image and --extend", generate("--image", "a.png", "--extend", "b")...)
	check(2, "--help", "generate", "--bogus")
	check(2, "--help", "frobnicate")
	check(2, "abc", generate("--frames", "abc")...)
	check(2, "model_index.json", generate("--model", t.TempDir())...)
	check(2, "FluxPipeline", generate("--model", kind)...)
	check(2, "header", generate("--model", header)...)
	check(2, "blocks.0.attn1.to_", generate("--model", missing)...)
	check(2, "not go with", generate("--coordinator", "http://127.0.0.1:1")...)
	check(2, "URL", "job", "list", "--coordinator", "nowhere")
	check(2, "htp|http.listen", "config", "show", "--role", "coordinator", "--config", "bad.yaml")
	check(2, "--sizes is", "bench", "gpu", "--sizes", "huge")
	check(2, "not for a file", "bench", "gpu", "--sizes", "tiny", "--page", "x.md")
	check(2, "--only is", "bench", "gpu", "--only", "(gemm")
	check(2, "no item's name matches", "bench", "gpu", "--only", "^gem 1")
	check(2, "--only times some", "bench", "gpu", "--only", "gemm", "--page", "x.md")
	check(1, "in use", "up", "--model", tiny(), "--listen", taken.Addr().String())
	os.Remove("bad.yaml")
	clean()
}
