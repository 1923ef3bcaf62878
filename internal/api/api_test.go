//lint:file-ignore SA1019 OpenAI retires its own service; its client still speaks the protocol.

package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a coordinator whose jobs do as the test says.
type fake struct {
	mu      sync.Mutex
	model   job.Model
	jobs    map[job.ID]coord.View
	order   []job.ID
	last    job.Request
	objects map[string]string
	err     error // of every call
	watch   chan coord.View

	snapshot string
	preview  []byte
	status   *coord.Status // nil: of a leader with a shard
}

func newFake() *fake {
	return &fake{jobs: map[job.ID]coord.View{}, objects: map[string]string{}, model: job.Model{
		Name: "demo", Fingerprint: "f", Heads: 6, HeadDim: 32, Layers: 8, Patch: [3]int{1, 2, 2},
		LatentChannels: 16, TemporalScale: 4, SpatialScale: 8, Defaults: job.Defaults{Width: 96,
			Height: 64, Frames: 33, Steps: 4, FPS: 16, GuidanceScale: 4, FlowShift: 3}}}
}

func (f *fake) Create(_ context.Context, r job.Request) (job.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = r
	if f.err != nil {
		return job.Record{}, f.err
	}
	s, err := f.model.Resolve(r, nil)
	if err != nil {
		return job.Record{}, err
	}
	rec := job.Record{ID: job.ID(fmt.Sprintf("video_%d", len(f.order))), Spec: s, State: job.Queued,
		Created: time.Unix(1000, 0)}
	f.jobs[rec.ID] = coord.View{Record: rec}
	f.order = append(f.order, rec.ID)
	return rec, nil
}

func (f *fake) Get(_ context.Context, id job.ID) (coord.View, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.jobs[id]
	if f.err != nil {
		return v, f.err
	}
	if !ok {
		return v, fmt.Errorf("job %s: %w", id, coord.ErrNotFound)
	}
	return v, nil
}

func (f *fake) List(_ context.Context, o coord.ListOptions) (coord.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var p coord.Page
	for i := len(f.order) - 1; i >= 0; i-- {
		if o.After == "" || f.order[i] < o.After {
			p.Jobs = append(p.Jobs, f.jobs[f.order[i]])
		}
	}
	if o.Limit > 0 && len(p.Jobs) > o.Limit {
		p.Jobs, p.More = p.Jobs[:o.Limit], true
	}
	return p, f.err
}

func (f *fake) set(id job.ID, change func(*coord.View)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.jobs[id]
	change(&v)
	f.jobs[id] = v
}

func (f *fake) Cancel(ctx context.Context, id job.ID) (coord.View, error) {
	v, err := f.Get(ctx, id)
	if err == nil && v.State.Final() && v.State != job.Cancelled {
		return v, job.ErrTransition
	}
	if err == nil {
		f.set(id, func(v *coord.View) { v.State = job.Cancelled })
	}
	v.State = job.Cancelled
	return v, err
}

func (f *fake) Delete(ctx context.Context, id job.ID) error {
	v, err := f.Get(ctx, id)
	if err == nil && !v.State.Final() {
		err = job.ErrTransition
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.jobs, id)
	}
	return err
}

func (f *fake) Retry(ctx context.Context, id job.ID) (job.Record, error) {
	v, err := f.Get(ctx, id)
	v.Record.ID += "r"
	return v.Record, err
}

func (f *fake) Watch(ctx context.Context, id job.ID) (<-chan coord.View, error) {
	v, err := f.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if f.watch != nil {
		return f.watch, nil
	}
	ch := make(chan coord.View, 1)
	ch <- v
	close(ch)
	return ch, nil
}

func (f *fake) Open(_ context.Context, o job.Object) (io.ReadSeekCloser, error) {
	s, ok := f.objects[o.Name]
	switch {
	case !ok:
		return nil, coord.ErrNotFound
	case s == "damaged":
		return nil, fmt.Errorf("object %s: %w", o.Name, coord.ErrDamaged)
	}
	return &object{Reader: strings.NewReader(s), size: o.Size}, nil
}

// object is stored bytes, and an error where some are missing.
type object struct {
	*strings.Reader
	size int64
}

func (o *object) Close() error { return nil }

func (o *object) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p)
	if err == io.EOF && o.Size() < o.size {
		err = errors.New("the rest is gone")
	}
	return n, err
}

func (o *object) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return o.size + offset, nil
	}
	return o.Reader.Seek(offset, whence)
}

func (f *fake) StoreInput(_ context.Context, r io.ReadSeeker) (job.Object, error) {
	r.Seek(0, io.SeekStart)
	b, err := io.ReadAll(r)
	sum := sha256.Sum256(b)
	o := job.Object{Name: fmt.Sprintf("sha256-%x", sum), Size: int64(len(b)),
		SHA256: fmt.Sprintf("%x", sum)}
	f.objects[o.Name] = string(b)
	return o, errors.Join(err, f.err)
}

func (f *fake) Preview(_ context.Context, id job.ID) (coord.Preview, error) {
	if f.preview == nil {
		return coord.Preview{}, fmt.Errorf("job %s has no preview yet: %w", id, coord.ErrNotFound)
	}
	return coord.Preview{Step: 5, Data: f.preview}, f.err
}

func (f *fake) Nodes(context.Context) ([]coord.Node, error) {
	return []coord.Node{{ID: "n1", Name: "a"}}, f.err
}

func (f *fake) DrainNode(_ context.Context, name string, within time.Duration) (coord.Node, error) {
	n := coord.Node{ID: "n1", Name: name, State: "draining", Deadline: time.Unix(0, 0).Add(within)}
	return n, f.err
}

func (f *fake) UndrainNode(_ context.Context, name string) (coord.Node, error) {
	return coord.Node{ID: "n1", Name: name, State: "idle"}, f.err
}

func (f *fake) AddMember(_ context.Context, p coord.Peer) (coord.Status, error) {
	return coord.Status{Members: []coord.Member{{ID: p.ID, Raft: p.Raft, HTTP: p.HTTP}}}, f.err
}

func (f *fake) RemoveMember(context.Context, string, bool) (coord.Status, error) {
	return coord.Status{}, f.err
}

func (f *fake) TransferLeader(_ context.Context, to string) (coord.Status, error) {
	return coord.Status{Leader: to}, f.err
}

func (f *fake) SaveSnapshot(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, f.snapshot)
	return errors.Join(err, f.err)
}

func (f *fake) RestoreSnapshot(_ context.Context, r io.Reader) error {
	b, err := io.ReadAll(r)
	f.snapshot = string(b)
	return errors.Join(err, f.err)
}

func (f *fake) Status(context.Context) (coord.Status, error) {
	if f.status != nil {
		return *f.status, nil
	}
	return coord.Status{ID: "c1", State: "Leader", Leader: "c1", Nodes: 1}, nil
}

func (f *fake) Model(context.Context) (job.Model, bool) { return f.model, f.model.Fingerprint != "" }
func (f *fake) Ready(context.Context) error             { return f.err }

// serve starts the API of f on a real port.
func serve(t *testing.T, f *fake) (url string, c *Client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h := New(Config{Service: f, Metrics: prometheus.NewRegistry()})
	go func() { done <- Serve(ctx, l, h) }()
	hc := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		hc.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c, err = NewClient("http://"+l.Addr().String(), hc)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + l.Addr().String(), c
}

// do sends a request and returns status and body.
func do(t *testing.T, c *Client, method, path, kind, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, c.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	hc := *c.http
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestCreateJSON(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	status, body, _ := do(t, c, "POST", "/v1/videos", "application/json; charset=utf-8",
		`{"prompt": "a \u00e9", "negative_prompt": "n", "size": "128x64", "seconds": "1.5", "fps": 8,
		"num_inference_steps": 7, "guidance_scale": 2.5, "flow_shift": "4", "scheduler": "euler",
		"seed": 18, "format": "png", "shards": 2, "mesh": "ulysses=1,cfg=2", "model": null}`)
	if status != 200 {
		t.Fatalf("%d: %s", status, body)
	}
	s := f.jobs["video_0"].Spec
	want := job.Spec{Model: "demo", Prompt: "a é", NegativePrompt: "n", Width: 128, Height: 64,
		Frames: 13, FPS: 8, Steps: 7, GuidanceScale: 2.5, FlowShift: 4, Scheduler: "euler", Seed: 18,
		DType: "fp32", Format: "png", Shards: 2, Mesh: job.Mesh{CFG: 2, Ulysses: 1},
		SecondsAsked: "1.5"}
	if !s.Equal(want) {
		t.Errorf("got %+v\nwant %+v", s, want)
	}
}

func TestPreview(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	get := func(want int, says string) http.Header {
		t.Helper()
		status, body, h := do(t, c, "GET", "/v1/videos/video_0/content?variant=preview", "", "")
		if status != want || !strings.Contains(body, says) {
			t.Errorf("%d: %.200s; want %d, %q", status, body, want, says)
		}
		return h
	}
	get(404, "no preview yet")
	f.preview = []byte("RIFFsizeWEBPVP8X")
	h := get(200, "WEBPVP8X")
	if h.Get("Content-Type") != "image/webp" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", h)
	}
}

// TestPartial asks for a clip of two seconds while it is decoded.
func TestPartial(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	if _, err := c.Create(t.Context(), job.Request{}); err != nil {
		t.Fatal(err)
	}
	get := func(want int, says string) Video {
		t.Helper()
		status, body, h := do(t, c, "GET", "/v1/videos/video_0/content?variant=partial", "", "")
		if status != want || !strings.Contains(body, says) ||
			want == 200 && (h.Get("Content-Type") != "video/webm" || body != says) {
			t.Errorf("%d %s: %.200s; want %d, %q", status, h.Get("Content-Type"), body, want, says)
		}
		v, err := c.Get(t.Context(), "video_0")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	get(404, "no second to show yet")
	f.objects["a"], f.objects["b"], f.objects["d"] = "header, first, ", "second", "fourth"
	f.set("video_0", func(v *coord.View) {
		v.State = job.Running
		v.Parts = map[string]job.Object{"text.0": {Name: "x"}, "video.0000": {Name: "a", Size: 15},
			"video.0001": {Name: "b", Size: 6}, "video.0003": {Name: "d", Size: 6}}
	})
	if v := get(200, "header, first, second"); v.Details.ReadySeconds != 2 || v.Details.Parts.Count != 4 {
		t.Errorf("%+v", v.Details)
	}
	f.set("video_0", func(v *coord.View) { v.Spec.Format = "mp4" })
	get(409, "cannot be shown in part; allowed: webm")
	f.set("video_0", func(v *coord.View) {
		v.State, v.Parts, v.Spec.Format = job.Completed, nil, "webm"
		v.Result.Video, v.Result.ContentType = job.Object{Name: "b", Size: 6}, "video/webm"
	})
	get(200, "second")
}

func TestFramesSnapWithANotice(t *testing.T) {
	_, c := serve(t, newFake())
	for body, want := range map[string]string{
		`{"prompt": "", "num_frames": 34}`: "34 frames were asked for; the clip has 33 (2.06 s)",
		`{"prompt": "", "seconds": 1.7}`:   "1.7 s at 16 fps were asked for; the clip has 29 frames (1.812 s)",
		`{"prompt": "", "seconds": 2}`:     "2 s at 16 fps were asked for; the clip has 33 frames",
		`{"prompt": ""}`:                   "",
	} {
		status, text, _ := do(t, c, "POST", "/v1/videos", "application/json", body)
		var v Video
		if err := json.Unmarshal([]byte(text), &v); err != nil || status != 200 ||
			!strings.Contains(strings.Join(v.Details.Notices, "\n"), want) ||
			(want == "") != (len(v.Details.Notices) == 0) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
}

func TestCreateStoryboard(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	board := `[{"start": 0, "prompt": "a"}, {"start": 1.5, "prompt": "b"}]`
	want := []job.Scene{{Prompt: "a"}, {Start: 1.5, Prompt: "b"}}
	status, body, _ := do(t, c, "POST", "/v1/videos", "application/json", `{"storyboard": `+board+`}`)
	if s := f.jobs["video_0"].Spec; status != 200 || !slices.Equal(s.Scenes, want) || s.Prompt != "a" {
		t.Errorf("%d: %s", status, body)
	}
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	m.WriteField("storyboard", board)
	m.Close()
	status, body, _ = do(t, c, "POST", "/v1/videos", m.FormDataContentType(), b.String())
	if s := f.jobs["video_1"].Spec; status != 200 || !slices.Equal(s.Scenes, want) {
		t.Errorf("%d: %s", status, body)
	}
	v, err := c.Create(t.Context(), job.Request{Scenes: want})
	if err != nil || !slices.Equal(v.Details.Spec.Scenes, want) {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestCreateForm(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for k, v := range map[string]string{"prompt": "", "seconds": "2", "size": "96x64", "seed": "5"} {
		m.WriteField(k, v)
	}
	m.Close()
	status, body, _ := do(t, c, "POST", "/v1/videos", m.FormDataContentType(), b.String())
	if s := f.jobs["video_0"].Spec; status != 200 || s.Frames != 33 || s.Seed != 5 || s.Prompt != "" {
		t.Errorf("%d: %s", status, body)
	}
}

func TestCreateRefuses(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	check := func(status int, param, body string) {
		t.Helper()
		got, text, _ := do(t, c, "POST", "/v1/videos", "application/json", body)
		if got != status || !strings.Contains(text, `"param":"`+param+`"`) && param != "" ||
			strings.Count(text, "\n") != 1 {
			t.Errorf("%.80s: %d %s", body, got, text)
		}
	}
	check(400, "prompt", `{}`)
	check(400, "prompt", `{"prompt": null}`)
	check(400, "prompt", `{"prompt": ["a"]}`)
	check(400, "size", `{"prompt": "a", "size": "big"}`)
	check(400, "storyboard", `{"storyboard": "a"}`)
	check(400, "storyboard", `{"storyboard": []}`)
	check(400, "storyboard", `{"storyboard": {"0": "a"}}`)
	check(400, "storyboard", `{"storyboard": [{"start": 0, "prompt": "a", "end": 3}]}`)
	check(400, "storyboard", `{"storyboard": [{"start": 1, "prompt": "a"}]}`)
	check(400, "storyboard", `{"prompt": "a", "storyboard": [{"start": 99, "prompt": "a"}]}`)
	check(400, "size", `{"prompt": "a", "size": "96x64", "width": 32}`)
	check(400, "width", `{"prompt": "a", "width": 97}`)
	check(400, "num_frames", `{"prompt": "a", "num_frames": 0}`)
	check(400, "num_frames", `{"prompt": "a", "num_frames": 3.5}`)
	check(400, "num_inference_steps", `{"prompt": "a", "num_inference_steps": 0}`)
	check(400, "seconds", `{"prompt": "a", "seconds": 1, "num_frames": 33}`)
	check(400, "seconds", `{"prompt": "a", "seconds": -1}`)
	check(400, "seconds", `{"prompt": "a", "seconds": "NaN"}`)
	check(400, "seconds", `{"prompt": "a", "seconds": "1e9"}`)
	check(400, "guidance_scale", `{"prompt": "a", "guidance_scale": "NaN"}`)
	check(400, "mesh", `{"prompt": "a", "mesh": "cfg=0"}`)
	check(400, "promt", `{"promt": "a"}`)
	check(400, "input_reference", `{"prompt": "a", "input_reference": "x"}`)
	check(400, "model", `{"prompt": "a", "model": "sora-2"}`)
	check(400, "", `{"prompt": "a"} {}`)
	check(400, "", `{"prompt": "a`)
	check(400, "", `[]`)
	check(400, "", ``)
	check(413, "", `{"prompt": "`+strings.Repeat("a", bodyMax)+`"}`)
	if got, text, _ := do(t, c, "POST", "/v1/videos", "text/plain", "hello"); got != 415 {
		t.Errorf("%d %s", got, text)
	}
	if got, text, _ := do(t, c, "POST", "/v1/videos", "multipart/form-data", "x"); got != 415 {
		t.Errorf("form without a boundary: %d %s", got, text)
	}
	if len(f.jobs) != 0 {
		t.Errorf("%d jobs were made", len(f.jobs))
	}
}

func TestErrorsHaveTheirStatus(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	for _, k := range kinds {
		f.err = fmt.Errorf("cannot: %w", k.err)
		status, text, _ := do(t, c, "POST", "/v1/videos", "application/json", `{"prompt": "a"}`)
		if status != k.status || !strings.Contains(text, k.code) {
			t.Errorf("%v: %d %s", k.err, status, text)
		}
	}
	f.err = errors.New("disk on fire")
	if status, text, _ := do(t, c, "GET", "/v1/nodes", "", ""); status != 500 ||
		!strings.Contains(text, "server_error") {
		t.Errorf("%d %s", status, text)
	}
	f.err = &coord.NotLeaderError{ID: "c2", HTTP: "http://other:1"}
	status, _, h := do(t, c, "POST", "/v1/videos", "application/json", `{"prompt": "a"}`)
	if status != 307 || h.Get("Location") != "http://other:1/v1/videos" {
		t.Errorf("%d %v", status, h)
	}
	for _, path := range []string{"/", "/v1/video", "/v1/videos/x/y"} {
		if status, text, _ := do(t, c, "GET", path, "", ""); status != 404 ||
			!strings.Contains(text, "unknown_url") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// TestClientFollowsTheLeader sends a body again where a follower leads it.
func TestClientFollowsTheLeader(t *testing.T) {
	follower, leader := newFake(), newFake()
	url, _ := serve(t, leader)
	follower.err = &coord.NotLeaderError{ID: "c2", HTTP: url}
	_, c := serve(t, follower)
	prompt := "over there"
	v, err := c.Create(context.Background(), job.Request{Prompt: prompt})
	if err != nil || v.Prompt != prompt || leader.last.Key == "" {
		t.Errorf("%+v, %v", v, err)
	}
}

func completed(f *fake) job.ID {
	rec, _ := f.Create(context.Background(), job.Request{Prompt: "a"})
	f.objects["o1"], f.objects["o2"] = "the video", "the latents"
	f.set(rec.ID, func(v *coord.View) {
		v.State, v.Finished = job.Completed, time.Unix(2000, 0)
		v.Result = job.Result{ContentType: "video/webm",
			Video:   job.Object{Name: "o1", Size: 9, SHA256: "aa"},
			Latents: job.Object{Name: "o2", Size: 11, SHA256: "bb"}}
	})
	return rec.ID
}

func TestContent(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	id := string(completed(f))
	status, body, h := do(t, c, "GET", "/v1/videos/"+id+"/content", "", "")
	if status != 200 || body != "the video" || h.Get("ETag") != `"aa"` ||
		h.Get("Content-Type") != "video/webm" || h.Get("Content-Length") != "9" {
		t.Errorf("%d %q %v", status, body, h)
	}
	_, body, _ = do(t, c, "GET", "/v1/videos/"+id+"/content?variant=latents", "", "")
	if body != "the latents" {
		t.Errorf("latents: %q", body)
	}
	if status, body, _ = do(t, c, "GET", "/v1/videos/"+id+"/content?variant=x", "", ""); status != 400 {
		t.Errorf("variant x: %d %s", status, body)
	}
	delete(f.objects, "o1")
	if status, body, _ = do(t, c, "GET", "/v1/videos/"+id+"/content", "", ""); status != 410 {
		t.Errorf("gone: %d %s", status, body)
	}
	f.objects["o1"] = "damaged"
	status, body, _ = do(t, c, "GET", "/v1/videos/"+id+"/content", "", "")
	if status != 500 || !strings.Contains(body, "content_damaged") || !strings.Contains(body, "retry") {
		t.Errorf("damaged: %d %s", status, body)
	}
	rec, _ := f.Create(context.Background(), job.Request{Prompt: "b"})
	if status, body, _ = do(t, c, "GET", "/v1/videos/"+string(rec.ID)+"/content", "", ""); status != 409 {
		t.Errorf("queued: %d %s", status, body)
	}
}

// TestBrokenContentIsCut wants a client to notice that an object ended early.
func TestBrokenContentIsCut(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	id := completed(f)
	f.objects["o1"] = "the"
	r, err := c.Content(context.Background(), id, "video")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err == nil {
		t.Errorf("%q came without an error", b)
	}
}

func TestDeleteCancelsFirst(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	rec, _ := f.Create(context.Background(), job.Request{Prompt: "b"})
	if err := c.Delete(context.Background(), rec.ID); err != nil || len(f.jobs) != 0 {
		t.Errorf("%v, %d jobs left", err, len(f.jobs))
	}
	var e *Error
	if err := c.Delete(context.Background(), rec.ID); !errors.As(err, &e) || e.Status != 404 ||
		!e.BadRequest() {
		t.Errorf("again: %v", err)
	}
}

// TestWatch follows a job over a stream that breaks off, to its end.
func TestWatch(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	rec, _ := f.Create(context.Background(), job.Request{Prompt: "b"})
	f.watch = make(chan coord.View, 2)
	f.watch <- coord.View{Record: rec}
	running := rec
	running.State = job.Running
	f.watch <- coord.View{Record: running, Progress: job.Progress{Stage: job.StageDenoise, Done: 2,
		Total: 4}}
	close(f.watch)
	var seen []string
	v, err := c.Watch(context.Background(), rec.ID, func(v Video) {
		seen = append(seen, fmt.Sprint(v.Status, v.Progress))
		if v.Progress == 46 {
			f.watch = nil // the next stream comes from the job itself, which has ended meanwhile
			f.set(rec.ID, func(v *coord.View) { v.State, v.Error = job.Failed, "no more power" })
		}
	})
	if err != nil || v.Error == nil || v.Error.Message != "no more power" ||
		strings.Join(seen, " ") != "queued0 in_progress46 failed0" {
		t.Errorf("%v %+v %v", err, v, seen)
	}
}

// TestRoutesThatChangeTheCluster goes through what operators do to nodes and coordinators.
func TestRoutesThatChangeTheCluster(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	ctx := context.Background()
	if n, err := c.Drain(ctx, "a", 90*time.Second); err != nil || n.Name != "a" ||
		n.Deadline.Unix() != 90 {
		t.Errorf("%+v, %v", n, err)
	}
	if n, err := c.Undrain(ctx, "a"); err != nil || n.State != "idle" {
		t.Errorf("%+v, %v", n, err)
	}
	for _, within := range []string{"-1", "x", "NaN", "1e9"} {
		status, body, _ := do(t, c, "POST", "/v1/nodes/a/drain?within="+within, "", "")
		if status != 400 || !strings.Contains(body, "within") {
			t.Errorf("within %s: %d %s", within, status, body)
		}
	}
	s, err := c.AddMember(ctx, coord.Peer{ID: "c4", Raft: "h:1", HTTP: "http://h"})
	if err != nil || len(s.Members) != 1 || s.Members[0].Raft != "h:1" {
		t.Errorf("%+v, %v", s, err)
	}
	if status, body, _ := do(t, c, "POST", "/v1/cluster/members", "application/json",
		`{"name":"x"}`); status != 400 || !strings.Contains(body, "raft_address") {
		t.Errorf("%d %s", status, body)
	}
	if _, err := c.RemoveMember(ctx, "c4", false); err != nil {
		t.Error(err)
	}
	if s, err := c.TransferLeader(ctx, "c2"); err != nil || s.Leader != "c2" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := c.Restore(ctx, []byte("{}")); err != nil {
		t.Error(err)
	}
	r, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "{}" {
		t.Errorf("%s, %v", b, err)
	}
}

func TestOperatorsRoutes(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	ctx := context.Background()
	for _, want := range [][2]string{{"/livez", "ok\n"}, {"/readyz", "ok\n"},
		{"/readyz?verbose", "[+] shards"}, {"/metrics", "longtake_http_request_duration_seconds"}} {
		if status, body, _ := do(t, c, "GET", want[0], "", ""); status != 200 ||
			!strings.Contains(body, want[1]) {
			t.Errorf("%s: %d %q", want[0], status, body)
		}
	}
	nodes, err := c.Nodes(ctx)
	if err != nil || len(nodes) != 1 {
		t.Errorf("%v %v", nodes, err)
	}
	models, err := c.Models(ctx)
	if err != nil || len(models) != 1 || models[0].Details.Heads != 6 {
		t.Errorf("%v %v", models, err)
	}
	st, err := c.Cluster(ctx)
	if err != nil || st.ID != "c1" {
		t.Errorf("%v %v", st, err)
	}
	f.err = coord.ErrNotReady
	for _, path := range []string{"/readyz", "/readyz?verbose"} {
		if status, body, _ := do(t, c, "GET", path, "", ""); status != 503 {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}

// TestOpenAIsClient uses the API as programs written for OpenAI's do.
func TestOpenAIsClient(t *testing.T) {
	f := newFake()
	url, c := serve(t, f)
	ctx := context.Background()
	oc := openai.NewClient(option.WithBaseURL(url+"/v1/"), option.WithAPIKey("none"),
		option.WithHTTPClient(c.http), option.WithMaxRetries(0))
	params := openai.VideoNewParams{Prompt: "a cat", Seconds: "1", Size: "128x64"}
	v, err := oc.Videos.New(ctx, params)
	if err != nil || v.Status != openai.VideoStatusQueued || v.Size != "128x64" ||
		v.Seconds != "1" {
		t.Fatalf("%+v, %v", v, err)
	}
	id := string(completed(f))
	if v, err = oc.Videos.Get(ctx, id); err != nil || v.Status != openai.VideoStatusCompleted ||
		v.CompletedAt != 2000 || v.Progress != 100 {
		t.Errorf("%+v, %v", v, err)
	}
	page, err := oc.Videos.List(ctx, openai.VideoListParams{Limit: openai.Int(1)})
	if err != nil || len(page.Data) != 1 || page.Data[0].ID != id || !page.HasMore {
		t.Errorf("%+v, %v", page, err)
	}
	n := 0
	for all := oc.Videos.ListAutoPaging(ctx, openai.VideoListParams{Limit: openai.Int(1)}); all.Next(); {
		n++
	}
	if n != 2 {
		t.Errorf("%d videos over all pages", n)
	}
	resp, err := oc.Videos.DownloadContent(ctx, id, openai.VideoDownloadContentParams{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "the video" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if d, err := oc.Videos.Delete(ctx, id); err != nil || !d.Deleted {
		t.Errorf("%+v, %v", d, err)
	}
	f.model.Extends, f.model.Defaults.Window, f.model.Defaults.Overlap = true, 9, 3
	params.InputReference = openai.VideoNewParamsInputReferenceUnion{
		OfFile: bytes.NewReader(picture(t))}
	if v, err = oc.Videos.New(ctx, params); err != nil ||
		f.jobs[job.ID(v.ID)].Spec.Source.Kind != job.SourceImage {
		t.Errorf("from a picture: %+v, %v", v, err)
	}
	var e *openai.Error
	if _, err = oc.Videos.Get(ctx, id); !errors.As(err, &e) || e.StatusCode != 404 ||
		e.Code != "not_found" {
		t.Errorf("%v", err)
	}
}

// FuzzCreate holds that no body makes the server panic, and that what it takes is a valid job.
func FuzzCreate(f *testing.F) {
	f.Add("application/json", `{"prompt": "a", "seconds": 2, "mesh": "cfg=2,ulysses=2"}`)
	f.Add("application/json", `{"prompt": "\ud800", "size": "96x64", "seed": 1e3}`)
	f.Add("multipart/form-data; boundary=x",
		"--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na\r\n--x--\r\n")
	f.Add("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; "+
		"name=\"prompt\"\r\n\r\na\r\n--x\r\nContent-Disposition: form-data; "+
		"name=\"input_reference\"; filename=\"a\"\r\n\r\n"+
		string(latentsOf(f, "latents", 1, 16, 1, 2, 2))+"\r\n--x--\r\n")
	f.Fuzz(func(t *testing.T, kind, body string) {
		fk := extender()
		h := New(Config{Service: fk, Metrics: prometheus.NewRegistry()})
		r := httptest.NewRequest("POST", "/v1/videos", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch {
		case w.Code == 200 && len(fk.jobs) == 1:
			s := fk.jobs["video_0"].Spec
			if s.Frames%4 != 1 || s.Width%16 != 0 || s.Steps < 1 {
				t.Errorf("accepted: %+v", s)
			}
		case w.Code < 400 || w.Code >= 500:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
