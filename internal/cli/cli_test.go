package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/media"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Connections of http.DefaultClient that are still warm.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// tiny is a model of random weights that takes milliseconds.
func tiny() string { return golden.Root("testdata", "golden", "tiny3") }

// outcome is what a command left behind.
type outcome struct {
	code     int
	out, err string
}

func longtake(t *testing.T, args ...string) outcome {
	t.Helper()
	return run(t.Context(), args...)
}

// shared is a buffer that the log and the progress write to, as they do to a file.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String returns what was written.
func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func run(ctx context.Context, args ...string) outcome {
	var out bytes.Buffer
	var errs shared
	cmd := Longtake()
	cmd.SetOut(&out)
	code := daemon.Execute(ctx, cmd, args, &errs)
	return outcome{code, out.String(), errs.String()}
}

// alone gives the test an empty folder to work in, a temporary directory of its own, and no
// settings from outside. It returns a check that nothing was left in either.
func alone(t *testing.T) (dir string, clean func(allowed ...string)) {
	t.Helper()
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "LONGTAKE_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	dir, temp := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	t.Setenv("TMPDIR", temp)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return dir, func(allowed ...string) {
		t.Helper()
		for _, d := range []string{dir, temp} {
			entries, err := os.ReadDir(d)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+e.Name()+" ") {
					t.Errorf("%s was left behind", filepath.Join(d, e.Name()))
				}
			}
		}
	}
}

func generate(args ...string) []string {
	return append([]string{"generate", "-p", "a red ball", "--model", tiny(), "--size", "32x32",
		"--frames", "5", "--steps", "2", "--fps", "8", "--seed", "3"}, args...)
}

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
	check(2, "not for a page", "bench", "gpu", "--sizes", "tiny", "--page", "x.md")
	check(1, "in use", "up", "--model", tiny(), "--listen", taken.Addr().String())
	os.Remove("bad.yaml")
	clean()
}

func TestUnreachableCoordinator(t *testing.T) {
	alone(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r := run(ctx, "job", "list", "--coordinator", "http://127.0.0.1:1")
	if r.code != 1 || !strings.Contains(r.err, "cannot reach the coordinator at http://127.0.0.1:1") {
		t.Errorf("%+v", r)
	}
}

// up runs `longtake up` beside the test and returns its URL.
func up(t *testing.T, data string) string { return upWith(t, tiny(), data) }

// upWith starts a cluster of a model, "" being the built-in one.
func upWith(t *testing.T, model, data string) string {
	t.Helper()
	l, err := local.Start(t.Context(), local.Config{Model: model, Shards: 2, Threads: 1,
		Transport: "nats", Data: data, Listen: "127.0.0.1:0", Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.URL
}

// TestCommandsOfACluster goes through a job's life.
func TestCommandsOfACluster(t *testing.T) {
	alone(t)
	t.Setenv("LONGTAKE_URL", up(t, t.TempDir()))
	ok := func(want string, args ...string) string {
		t.Helper()
		r := longtake(t, args...)
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("%v: %+v, want %q", args, r, want)
		}
		return r.out
	}
	ok("seed 3", "generate", "-p", "x", "--size", "32x32", "--frames", "5", "--steps", "2", "--seed",
		"3", "-o", "a.webm")
	ok("shard-1", "node", "list")
	ok("shard-0", "node", "status", "shard-0")
	ok("leader", "cluster", "members")
	ok("2", "cluster", "status")
	ok("completed", "job", "list")
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(ok("{", "job", "list", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	ok("completed", "job", "status", v.ID)
	ok("completed", "job", "status", "--watch", v.ID)
	ok("completed", "job", "logs", v.ID)
	ok("b.webm", "job", "fetch", v.ID, "-o", "b.webm", "--save-latents", "l.safetensors")
	a, _ := os.ReadFile("a.webm")
	b, _ := os.ReadFile("b.webm")
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Errorf("fetched %d bytes, generated %d", len(b), len(a))
	}
	ok("queued", "job", "retry", v.ID)
	ok("", "job", "delete", v.ID)
	for _, args := range [][]string{{"job", "status", v.ID}, {"job", "cancel", "video_none"},
		{"node", "status", "nobody"}, {"job", "fetch", v.ID}} {
		if r := longtake(t, args...); r.code != 1 || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// TestInterrupt wants a job cancelled when nobody waits for it any more.
// TestWhatTakesTooMuchIsRefused before a cluster is started for it.
func TestWhatTakesTooMuchIsRefused(t *testing.T) {
	_, clean := alone(t)
	for parts, args := range map[string][]string{
		"--size is 1280x720|times the pixels|predicted to take|force": {"generate", "-p", "x", "--size",
			"1280x720", "--seconds", "4"},
		"longtake: request is too long|limits.request-time|force": generate("--limits-request-time", "1us"),
	} {
		r := longtake(t, args...)
		if r.code != 2 || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%q: %+v, want code 2 and one line", args, r)
		}
		for p := range strings.SplitSeq(parts, "|") {
			if !strings.Contains(r.err, p) {
				t.Errorf("%q: %q lacks %q", args, r.err, p)
			}
		}
	}
	clean()
}

func TestInterrupt(t *testing.T) {
	url := up(t, t.TempDir())
	_, clean := alone(t)
	t.Setenv("LONGTAKE_URL", url)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan outcome, 1)
	go func() {
		done <- run(ctx, "generate", "-p", "x", "--size", "64x64", "--frames", "33", "--steps", "1000")
	}()
	for !strings.Contains(longtake(t, "job", "list").out, "denoise") && ctx.Err() == nil {
		select {
		case r := <-done:
			t.Fatalf("ended early: %+v", r)
		case <-time.After(10 * time.Millisecond):
		}
	}
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(longtake(t, "job", "list", "--json").out), &v); err != nil {
		t.Fatal(err)
	}
	for longtake(t, "job", "fetch", v.ID, "--preview", "-o", "p.webp").code != 0 {
		select {
		case r := <-done:
			t.Fatalf("ended before there was a preview: %+v", r)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if p, _ := os.ReadFile("p.webp"); !media.IsAnimation(p) {
		t.Errorf("a preview of %d bytes, %.20q", len(p), p)
	}
	cancel(errors.New("Ctrl-C"))
	if r := <-done; r.code != 130 || !strings.Contains(r.err, "is cancelled") {
		t.Errorf("%+v", r)
	}
	clean("p.webp")
}

func TestPreviewMistakes(t *testing.T) {
	alone(t)
	for _, args := range [][]string{{"-o", "p.webm"}, {"--save-latents", "l"}, {"-o", "no/p.webp"}} {
		r := longtake(t, append([]string{"job", "fetch", "video_x", "--preview", "--coordinator",
			"http://127.0.0.1:1"}, args...)...)
		if r.code != 2 || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestPlan(t *testing.T) {
	alone(t)
	r := longtake(t, "plan", "--shards", "4")
	if r.code != 0 || !strings.Contains(r.out, "cfg=2,ulysses=2") || !strings.Contains(r.out, "chosen") ||
		!strings.Contains(r.out, "operations") || !strings.Contains(r.out, "seconds on 4 shards") {
		t.Errorf("%+v", r)
	}
	if r := longtake(t, "plan", "--shards", "13"); r.code != 2 {
		t.Errorf("13 shards: %+v", r)
	}
}

func TestBench(t *testing.T) {
	alone(t)
	r := longtake(t, "bench", "run", "--model", tiny(), "--shards", "1,2", "--rounds", "1", "--steps",
		"2", "--size", "32x32", "--frames", "5", "--json")
	var rows []benchRow
	for d := json.NewDecoder(strings.NewReader(r.out)); d.More(); {
		var row benchRow
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if r.code != 0 || len(rows) != 2 || rows[0].Latents != rows[1].Latents || rows[0].BytesPerStep != 0 ||
		rows[1].BytesPerStep == 0 || rows[0].Ratio != 1 {
		t.Errorf("%+v", r)
	}
}

func TestConfigShow(t *testing.T) {
	alone(t)
	t.Setenv("LONGTAKE_URL", "http://there:1")
	r := longtake(t, "config", "show")
	if r.code != 0 || !strings.Contains(r.out, "environment LONGTAKE_URL") {
		t.Errorf("%+v", r)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
