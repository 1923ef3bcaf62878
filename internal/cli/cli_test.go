package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/shard"
	"github.com/longtake/longtake/internal/testlog"
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

func run(ctx context.Context, args ...string) outcome {
	var out bytes.Buffer
	var errs testlog.Buffer
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
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
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

// up runs `longtake up` while the test runs and returns its URL.
func up(t *testing.T, data string) string { return upWith(t, tiny(), data) }

// upWith starts a cluster of a model, "" being the built-in one.
func upWith(t *testing.T, model, data string) string {
	t.Helper()
	l, err := local.Start(t.Context(), local.Config{Models: []shard.ModelDir{{Dir: model}}, Shards: 2,
		Threads: 1, Transport: "nats", Data: data, Listen: "127.0.0.1:0", Log: quiet(),
		Auth: api.OpenAuth(), LocalKey: true})
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

// TestInterrupt wants a job cancelled when nobody waits for it any more.
// TestWhatTakesTooMuchIsRefused before a cluster is started for it.
func TestWhatTakesTooMuchIsRefused(t *testing.T) {
	_, clean := alone(t)
	refused(t, map[string][]string{
		"--size is 1280x720|times the pixels|predicted to take|force": {"generate", "-p", "x", "--size",
			"1280x720", "--seconds", "4"},
		"longtake: request is too long|limits.request-time|force": generate("--limits-request-time", "1us"),
	})
	clean()
}

// refused runs commands, by the parts, with | between them, of the one line that each is refused
// with.
func refused(t *testing.T, commands map[string][]string) {
	t.Helper()
	for parts, args := range commands {
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
		!strings.Contains(r.out, "operations") || !strings.Contains(r.out, "each as fast as this") {
		t.Errorf("%+v", r)
	}
	if r := longtake(t, "plan", "--shards", "13"); r.code != 2 {
		t.Errorf("13 shards: %+v", r)
	}
}

// TestPlanOfACausalClip counts its blocks, and what each of them sees.
func TestPlanOfACausalClip(t *testing.T) {
	alone(t)
	dir := filepath.Join(t.TempDir(), "causal")
	if err := os.CopyFS(dir, os.DirFS(tiny())); err != nil {
		t.Fatal(err)
	}
	text := []byte(`{"causal": {"window": 12, "sink": 3}, "sizes": ["64x48"]}`)
	if err := os.WriteFile(filepath.Join(dir, "longtake.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	r := longtake(t, "plan", "--model", dir, "--seconds", "10", "--shards", "2")
	if r.code != 0 || !strings.Contains(r.out, "in 14 blocks of 36, each of which sees up to 144") {
		t.Errorf("%+v", r)
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
