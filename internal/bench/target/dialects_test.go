package target

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/bench/target/targettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// products and the dialect that is found for each.
var products = map[targettest.Product]string{targettest.VLLM: "videos", targettest.SGLang: "videos",
	targettest.TensorRT: "generations", targettest.MLPerf: "generations", targettest.Dynamo: "dynamo"}

// start returns a target of a stand-in.
func start(t *testing.T, o targettest.Options, more Options) (Target, *targettest.Server) {
	t.Helper()
	s := targettest.Start(t, o)
	more.URL = s.URL
	to, err := Open(t.Context(), more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	return to, s
}

// request has everything that a request can have.
func request() Request {
	one, two := 4.5, 3.0
	return Request{Prompt: "a red ball over the sea", Negative: "blue", Width: 96, Height: 64,
		Frames: 17, FPS: 16, Steps: 20, Guidance: &one, Guidance2: &two, Seed: 42, Priority: 3}
}

// TestDialects: a clip of each server, whose dialect is found out, and what is known of it.
func TestDialects(t *testing.T) {
	for p, dialect := range products {
		for _, content := range []bool{false, true} {
			to, s := start(t, targettest.Options{Product: p}, Options{Content: content})
			about, err := to.Describe(t.Context())
			if err != nil || about.Dialect != dialect || about.Model != "Wan2.2-T2V" ||
				about.Version != "1.2.3" || about.Product == "" {
				t.Errorf("%s: %+v, %v", p, about, err)
			}

			out, err := to.Make(t.Context(), request(), func(Progress) {})
			if err != nil {
				t.Errorf("%s: %v", p, err)
				continue
			}
			if out.ID == "" && content && p != targettest.TensorRT || out.Latency <= 0 ||
				out.Sent.IsZero() || out.FirstPlayable != out.Latency {
				t.Errorf("%s: %+v", p, out)
			}
			if content && (out.Frames != 17 || out.Width != 96 || out.Height != 64 || out.FPS != 16 ||
				len(out.ContentSHA256) != 64 || out.ContentBytes < 1000) {
				t.Errorf("%s: the content is %+v", p, out)
			}
			if bodies := s.Bodies(); len(bodies) != 1 || bodies[0]["prompt"] != "a red ball over the sea" {
				t.Errorf("%s: %v", p, bodies)
			}
		}
	}
}

// TestWhatServersTell: times of stages, memory, and the wait, from vLLM-Omni's object and from the
// head of TensorRT-LLM's answer.
func TestWhatServersTell(t *testing.T) {
	to, _ := start(t, targettest.Options{Product: targettest.VLLM}, Options{})
	out, err := to.Make(t.Context(), Request{Prompt: "a"}, nil)
	if err != nil || out.Stages["text"] != 50*time.Millisecond ||
		out.Stages["denoise"] != 150*time.Millisecond || out.Stages["decode"] != 50*time.Millisecond ||
		out.Stages["inference"] != 250*time.Millisecond || out.PeakMemory != 1<<30 ||
		out.Resolution <= 0 || out.Resolution > out.Latency || out.Width != 64 {
		t.Errorf("%+v, %v", out, err)
	}
	to, _ = start(t, targettest.Options{Product: targettest.TensorRT}, Options{Content: true})
	out, err = to.Make(t.Context(), Request{Prompt: "a"}, nil)
	if err != nil || out.Stages["generation"] != 250500*time.Microsecond ||
		out.Stages["denoise"] != 200*time.Millisecond || len(out.Stages) != 2 {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestFaults: each way in which a server fails has one kind of error, and one line that says what.
func TestFaults(t *testing.T) {
	sync := []targettest.Product{targettest.TensorRT, targettest.MLPerf, targettest.Dynamo}
	for _, c := range []struct {
		fault targettest.Fault
		kind  Kind
		says  string
		of    []targettest.Product // nil: all
	}{
		{targettest.Busy, Refused, "busy", nil},
		{targettest.Reject, Rejected, "this prompt is not allowed", nil},
		{targettest.Fail, Failed, "out of memory", []targettest.Product{targettest.VLLM,
			targettest.SGLang, targettest.Dynamo}},
		{targettest.Fail, Failed, "Video generation failed", []targettest.Product{targettest.MLPerf}},
		{targettest.Vanish, Failed, "no more", []targettest.Product{targettest.SGLang}},
		{targettest.Status500, Failed, "Internal Server Error", sync},
		{targettest.NoJSON, Malformed, "JSON", nil},
		{targettest.Strange, Malformed, "", nil},
		{targettest.Huge, Malformed, "more than 1048576 bytes", nil},
		{targettest.BreakOff, Unreachable, "broke off", sync},
	} {
		for p := range products {
			if c.of != nil && !slices.Contains(c.of, p) {
				continue
			}
			to, _ := start(t, targettest.Options{Product: p,
				Fault: func(int) targettest.Fault { return c.fault }}, Options{})
			_, err := to.Make(t.Context(), request(), nil)
			var f *Failure
			if !errors.As(err, &f) || f.Kind != c.kind || !strings.Contains(f.Message, c.says) ||
				strings.Contains(f.Message, "\n") {
				t.Errorf("%s, %s: %v (%+v), want %s, %q", p, c.fault, err, f, c.kind, c.says)
			}
			if f != nil && c.fault == targettest.Busy && (f.RetryAfter != 2*time.Second || f.Status != 503) {
				t.Errorf("%s: %+v", p, f)
			}
		}
	}
}

// TestHangingServers: a clip has a time limit, also if its server says nothing.
func TestHangingServers(t *testing.T) {
	for _, p := range []targettest.Product{targettest.SGLang, targettest.MLPerf, targettest.Dynamo} {
		to, s := start(t, targettest.Options{Product: p,
			Fault: func(int) targettest.Fault { return targettest.Hang }},
			Options{Timeout: 200 * time.Millisecond})
		_, err := to.Make(t.Context(), request(), nil)
		var f *Failure
		if !errors.As(err, &f) || f.Kind != Late || !strings.Contains(f.Message, "--timeout") {
			t.Errorf("%s: %v", p, err)
		}
		if products[p] == "videos" && len(s.Deleted()) != 1 {
			t.Errorf("%s: the clip was not taken back", p)
		}
	}
}

// TestCancel: what the caller gives up is taken back from the server, as far as it can be.
func TestCancel(t *testing.T) {
	for p, dialect := range products {
		to, s := start(t, targettest.Options{Product: p,
			Work: func(int) time.Duration { return time.Hour }}, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		if dialect != "videos" {
			go func() {
				for len(s.Bodies()) == 0 {
					time.Sleep(time.Millisecond)
				}
				cancel()
			}()
		}
		_, err := to.Make(ctx, request(), func(Progress) { cancel() })
		cancel()
		var f *Failure
		if !errors.As(err, &f) || f.Kind != Cancelled || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", p, err)
		}
		if dialect == "videos" && len(s.Deleted()) != 1 {
			t.Errorf("%s: deleted %v", p, s.Deleted())
		}
	}
}

// TestAFastWrongAnswerShows: a clip with fewer frames, another size or a cut file does not count.
func TestAFastWrongAnswerShows(t *testing.T) {
	for says, spoil := range map[string]func(*targettest.Clip){
		"it has 5 frames; asked for: 17":             func(c *targettest.Clip) { c.Frames = 5 },
		"it has 48x64 pixels; asked for: 96x64":      func(c *targettest.Clip) { c.Width = 48 },
		"it has 8 frames a second; asked for: 16":    func(c *targettest.Clip) { c.FPS = 8 },
		"the file cannot be played: it ends in the ": func(c *targettest.Clip) { c.Cut = true },
	} {
		for p := range products {
			to, _ := start(t, targettest.Options{Product: p,
				Spoil: func(_ int, c targettest.Clip) targettest.Clip { spoil(&c); return c }},
				Options{Content: true})
			_, err := to.Make(t.Context(), request(), nil)
			var f *Failure
			if !errors.As(err, &f) || f.Kind != Wrong || !strings.Contains(f.Message, says) {
				t.Errorf("%s: %v, want %q", p, err, says)
			}
		}
	}
}

// TestManyAtOnce: as many clips at once as the server has slots, and refusals beyond what may wait.
func TestManyAtOnce(t *testing.T) {
	for p := range products {
		to, s := start(t, targettest.Options{Product: p, Slots: 4, Waiting: 4,
			Work: func(int) time.Duration { return 5 * time.Millisecond }}, Options{Connections: 32})
		var all sync.WaitGroup
		var mu sync.Mutex
		made, refused := 0, 0
		for range 32 {
			all.Go(func() {
				_, err := to.Make(t.Context(), request(), nil)
				var f *Failure
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					made++
				case errors.As(err, &f) && f.Kind == Refused && f.Status == 429:
					refused++
				default:
					t.Errorf("%s: %v", p, err)
				}
			})
		}
		all.Wait()
		if most, _ := s.Most(); made+refused != 32 || made < 8 || most > 4 {
			t.Errorf("%s: %d made, %d refused, %d at once", p, made, refused, most)
		}
	}
}
