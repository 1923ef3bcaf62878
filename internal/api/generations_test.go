package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// generator is an API with the synchronous route, whose next job ends in a state. Its clip has the
// bytes "the video".
func generator(t *testing.T, g Generations) (*fake, http.Handler, func(job.State)) {
	t.Helper()
	f := newFake()
	f.objects["o1"] = "the video"
	h := New(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody,
		Clients: Clients{Generations: g}})
	return f, h, func(state job.State) {
		f.watch = make(chan coord.View, 2)
		f.watch <- coord.View{Record: job.Record{State: job.Running}}
		f.watch <- coord.View{Record: job.Record{ID: "video_7", State: state, Error: "no power",
			Spec: job.Spec{Format: "mp4", FPS: 16}, Result: job.Result{Video: job.Object{Name: "o1",
				Size: 9, SHA256: "aa"}}}}
		close(f.watch)
	}
}

// strictly reads an answer as the client of mlcommons/endpoints does, whose models forbid fields
// that they do not have.
func strictly(t *testing.T, resp *http.Response, into any) {
	t.Helper()
	d := json.NewDecoder(resp.Body)
	d.DisallowUnknownFields()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%d %s: %s", resp.StatusCode, resp.Header.Get("Content-Type"), b)
	}
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

const generations = "/v1/videos/generations"

// TestGenerations sends what the client of mlcommons/endpoints sends, all of its fields, and wants
// the answers that it takes.
func TestGenerations(t *testing.T) {
	dir := t.TempDir()
	f, h, end := generator(t, Generations{On: true, Dir: dir})
	f.model.Experts = job.Experts{Boundary: 875, First: true, Second: true}
	body := `{"prompt": "a cat", "negative_prompt": "blur", "size": "64x96",
		"seconds": 5.0, "fps": 16,
		"num_inference_steps": 20, "guidance_scale": 4.0, "guidance_scale_2": 3.0, "seed": 42,
		"num_frames": 81, "boundary_ratio": 0.875, "output_format": "auto", "something_new": [1],
		"extra_params": {"stg_scale": 1}, "response_format": "%s"}`

	end(job.Completed)
	var byPath struct {
		ID   string `json:"video_id"`
		Path string `json:"video_path"`
	}
	strictly(t, ask(h, "POST", generations, fmt.Sprintf(body, "video_path"), asJSON), &byPath)
	if b, err := os.ReadFile(byPath.Path); string(b) != "the video" || byPath.ID != "video_7" ||
		byPath.Path != filepath.Join(dir, "video_7.mp4") {
		t.Errorf("%+v: %q, %v", byPath, b, err)
	}
	s := f.jobs["video_0"].Spec
	if s.Prompt != "a cat" || s.NegativePrompt != "blur" || s.Width != 64 || s.Height != 96 ||
		s.Frames != 81 || s.FPS != 16 || s.Steps != 20 || s.GuidanceScale != 4 ||
		s.GuidanceScale2 != 3 || s.Seed != 42 || s.Format != "mp4" {
		t.Errorf("%+v", s)
	}

	end(job.Completed)
	var inline struct {
		ID    string `json:"video_id"`
		Bytes string `json:"video_bytes"`
	}
	strictly(t, ask(h, "POST", generations, fmt.Sprintf(body, "video_bytes"), asJSON), &inline)
	if b, err := base64.StdEncoding.DecodeString(inline.Bytes); string(b) != "the video" ||
		inline.ID != "video_7" {
		t.Errorf("%+v: %q, %v", inline, b, err)
	}
}

// TestGenerationsRefuse wants one line for what the route cannot do, and no job.
func TestGenerationsRefuse(t *testing.T) {
	f, h, end := generator(t, Generations{On: true})
	end(job.Failed)
	refused := func(body, says string) {
		t.Helper()
		resp := ask(h, "POST", generations, body, asJSON)
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(b), says) {
			t.Errorf("%s: %d %s", body, resp.StatusCode, b)
		}
	}
	for _, c := range [][2]string{
		{`"response_format": "video_path"`, "http.generations-dir"},
		{`"response_format": "url"`, "allowed: video_path, video_bytes"},
		{`"boundary_ratio": 0.875`, "allowed: 0, that"}, {`"boundary_ratio": "x"`, "0 to 1"},
		{`"output_format": "avi"`, "webm, mp4, png"}, {`"seed": "x"`, "seed"},
		{`"seconds": 5, "num_frames": 33`, "both alike"},
		{`"guidance_scale_2": 3`, "one transformer"},
	} {
		body := `{"prompt": "a", ` + c[0] + `}`
		if !strings.Contains(body, "response_format") {
			body = `{"prompt": "a", "response_format": "video_bytes", ` + c[0] + `}`
		}
		refused(body, c[1])
	}
	refused(`{"response_format": "video_bytes"}`, "prompt is missing")
	if len(f.jobs) > 0 {
		t.Errorf("%d jobs were made", len(f.jobs))
	}

	// A model of one transformer has its boundary at 0, where a second scale means nothing.
	resp := ask(h, "POST", generations, `{"prompt": "a", "response_format": "video_bytes",
		"boundary_ratio": 0.0, "guidance_scale_2": 3}`, asJSON)
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 500 || !strings.Contains(string(b), "no power") {
		t.Errorf("a job that fails: %d %s", resp.StatusCode, b)
	}

	_, off, _ := generator(t, Generations{})
	resp = ask(off, "POST", generations, `{"prompt": "a"}`, asJSON)
	b, _ = io.ReadAll(resp.Body)
	if resp.StatusCode != 404 || !strings.Contains(string(b), "http.generations: true") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
}

// TestGenerationsWithoutFFmpeg wants WebM where no shard can write MP4, unless the request says so.
func TestGenerationsWithoutFFmpeg(t *testing.T) {
	f, h, end := generator(t, Generations{On: true})
	end(job.Failed)
	f.refuse = func(s job.Spec) error {
		if s.Format == "mp4" {
			return &job.FieldError{Field: "format", Value: "mp4", Allowed: "what a shard can write"}
		}
		return nil
	}
	ask(h, "POST", generations, `{"prompt": "a", "response_format": "video_bytes"}`, asJSON)
	if s := f.jobs["video_0"].Spec; s.Format != "webm" {
		t.Errorf("format %q", s.Format)
	}
	resp := ask(h, "POST", generations, `{"prompt": "a", "response_format": "video_bytes",
		"output_format": "mp4"}`, asJSON)
	if resp.StatusCode != 400 || len(f.jobs) != 1 {
		t.Errorf("%d, %d jobs", resp.StatusCode, len(f.jobs))
	}
}

// TestGenerationsOfWhoLeaves wants the job of a client that has left to be cancelled.
func TestGenerationsOfWhoLeaves(t *testing.T) {
	f, h, _ := generator(t, Generations{On: true})
	f.watch = make(chan coord.View)
	close(f.watch)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequest("POST", generations,
		strings.NewReader(`{"prompt": "a", "response_format": "video_bytes"}`))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
	if got := f.jobs["video_0"].State; got != job.Cancelled {
		t.Errorf("the job is %s", got)
	}
}

// TestOutbox wants the oldest clips to make room, and nothing else in the folder to be touched.
func TestOutbox(t *testing.T) {
	dir := t.TempDir()
	at := time.Now().Add(-2 * partAge)
	for i, name := range strings.Fields("video_a.mp4 holiday.mp4 video_b.webm .part-x video_c.mp4") {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("12345"), 0o644); err != nil {
			t.Fatal(err)
		}
		old := at.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	// A link out of the folder is neither followed nor counted.
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "video_l.mp4")); err != nil {
		t.Fatal(err)
	}

	b := outbox{dir: dir, most: 12}
	for range 2 { // the same clip again, as under an idempotency key, takes its own place
		path, err := b.put("video_d", ".mp4", 5, strings.NewReader("67890"))
		if err != nil || path != filepath.Join(dir, "video_d.mp4") {
			t.Fatal(path, err)
		}
	}
	var names []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); err != nil ||
		got != "holiday.mp4 video_c.mp4 video_d.mp4 video_l.mp4" {
		t.Errorf("%s, %v", got, err)
	}
	_, err = b.put("video_e", ".mp4", 13, strings.NewReader(""))
	if !errors.Is(err, coord.ErrNoSpace) {
		t.Errorf("a clip that is too large: %v", err)
	}
	if _, err := b.put("video_f", ".mp4", 1, broken{}); err == nil {
		t.Error("a clip that breaks off is left")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, partPrefix+"*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// broken is a stream that breaks off.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("gone") }
