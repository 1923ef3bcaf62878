package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

const asJSON = "Content-Type: application/json"

// videoIn reads a video.
func videoIn(t *testing.T, resp *http.Response) (v schema.Video) {
	t.Helper()
	b, _ := io.ReadAll(resp.Body)
	if err := json.Unmarshal(b, &v); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	return v
}

// TestRemix changes the prompt of videos of all kinds, and nothing else.
func TestRemix(t *testing.T) {
	f := newFake()
	h := api(f, nil, nil)
	for _, body := range []string{
		`{"prompt": "a"}`,
		`{"prompt": "a", "negative_prompt": "n", "size": "128x64", "num_frames": 17, "fps": 8, "seed": 7,
		"num_inference_steps": 9, "guidance_scale": 1.5, "flow_shift": 2, "scheduler": "euler",
		"dtype": "bf16", "format": "png", "shards": 2, "mesh": "cfg=1,ulysses=2", "threads": 3,
		"priority": 4}`,
		`{"prompt": "a", "output_compression": 40}`,
		`{"prompt": "a", "seconds": 8, "window": 9, "overlap": 3, "window_schedule": "uniform"}`,
		`{"storyboard": [{"start": 0, "prompt": "a"}, {"start": 1, "prompt": "b"}]}`,
	} {
		v := videoIn(t, ask(h, "POST", "/v1/videos", body, asJSON))
		path := "/v1/videos/" + string(v.ID) + "/remix"
		got := videoIn(t, ask(h, "POST", path, `{"prompt": "other"}`, asJSON))
		want := v.Details.Spec
		want.Prompt, want.Scenes, want.RemixOf = "other", nil, v.ID
		if s := got.Details.Spec; !s.Equal(want) || got.RemixedFrom == nil || *got.RemixedFrom != v.ID {
			t.Errorf("%s:\ngot  %+v\nwant %+v", body, s, want)
		}
		if got := videoIn(t, ask(h, "POST", path, `{"prompt": "c", "seed": 9, "size": "96x64"}`,
			asJSON)); got.Details.Spec.Seed != 9 || got.Size != "96x64" {
			t.Errorf("what is said is not taken: %+v", got)
		}
		for body, want := range map[string]int{`{}`: 400, `{"promt": "a"}`: 400, ``: 400} {
			if resp := ask(h, "POST", path, body, asJSON); resp.StatusCode != want {
				t.Errorf("%s: %d", body, resp.StatusCode)
			}
		}
	}
	v := videoIn(t, ask(h, "POST", "/v1/videos", `{"prompt": "a", "video_quality": 40}`, asJSON))
	got := videoIn(t, ask(h, "POST", "/v1/videos/"+string(v.ID)+"/remix",
		`{"prompt": "a", "format": "png"}`, asJSON))
	if a, b := v.Details.Spec.VideoQuality, got.Details.Spec.VideoQuality; a != 40 || b != 0 {
		t.Errorf("qualities %d, and %d in another format", a, b)
	}
	if resp := ask(h, "POST", "/v1/videos/none/remix", `{"prompt": "a"}`, asJSON); resp.StatusCode != 404 {
		t.Errorf("of none: %d", resp.StatusCode)
	}
}

// TestRemixOfWhatStartsFromAPicture wants the start to be taken over.
func TestRemixOfWhatStartsFromAPicture(t *testing.T) {
	f := extender()
	h := api(f, nil, nil)
	v := videoIn(t, ask(h, "POST", "/v1/videos", `{"prompt": "a"}`, asJSON))
	start := job.Input{Role: job.RoleStart, Kind: job.KindImage, Latents: 1,
		Object: job.Object{Name: "sha256-" + strings.Repeat("a", 64), Size: 5,
			SHA256: strings.Repeat("a", 64)}}
	f.set(v.ID, func(v *coord.View) { v.Spec.Inputs = []job.Input{start} })
	got := videoIn(t, ask(h, "POST", "/v1/videos/"+string(v.ID)+"/remix", `{"prompt": "b"}`, asJSON))
	if len(got.Details.Spec.Inputs) != 1 || got.Details.Spec.Inputs[0] != start {
		t.Errorf("%+v", got.Details.Spec)
	}
}

// TestExtensionsByBody names the video in the body, in each form that clients have for it.
func TestExtensionsByBody(t *testing.T) {
	f := extender()
	id := string(completed(f))
	sum := strings.Repeat("a", 64)
	f.set(job.ID(id), func(v *coord.View) {
		v.Result.Latents = job.Object{Name: "sha256-" + sum, Size: 11, SHA256: sum}
	})
	form := func(fields ...string) (string, string) {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		for i := 0; i < len(fields); i += 2 {
			m.WriteField(fields[i], fields[i+1])
		}
		m.Close()
		return "Content-Type: " + m.FormDataContentType(), b.String()
	}
	h := api(f, nil, nil)
	kind1, form1 := form("video[id]", id, "prompt", "more", "seconds", "1")
	kind2, form2 := form("video", `{"id": "`+id+`"}`, "prompt", "more", "seconds", "1")
	kind3, form3 := form("video", id, "storyboard", `[{"start":0,"prompt":"more"}]`, "seconds", "1")
	for _, c := range [][2]string{
		{asJSON, `{"video": {"id": "` + id + `"}, "prompt": "more", "seconds": "1"}`},
		{asJSON, `{"video": "` + id + `", "prompt": "more", "seconds": "1"}`},
		{kind1, form1}, {kind2, form2}, {kind3, form3},
	} {
		v := videoIn(t, ask(h, "POST", "/v1/videos/extensions", c[1], c[0]))
		if s := v.Details.Spec; s.Prompt != "more" || s.Inputs[0].Kind != job.KindLatents ||
			s.Frames != 33+16 {
			t.Errorf("%s: %+v", c[1], s)
		}
	}
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	part, _ := m.CreateFormFile("video", "a.mp4")
	part.Write([]byte("ftyp"))
	m.Close()
	for _, c := range [][3]string{
		{asJSON, `{"prompt": "a"}`, "video is missing"},
		{asJSON, `{"video": 5}`, "video is missing"},
		{asJSON, `{"video": {"id": ""}}`, "video is missing"},
		{asJSON, `{"video": {"id": "none"}}`, "not found"},
		{asJSON, `{"video`, "cannot read"},
		{asJSON, `{"video": "` + id + `", "video": "a"}`, "stands twice"},
		{asJSON, `{"video": {"id": "` + id + `"}, "promt": "a"}`, "unknown field"},
		{"Content-Type: " + m.FormDataContentType(), b.String(), "is a file"},
		{"Content-Type: text/plain", "a", "Content-Type"},
		{asJSON, `{"video": "` + strings.Repeat("a", bodyMax) + `"}`, "too large"},
	} {
		resp := ask(h, "POST", "/v1/videos/extensions", c[1], c[0])
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode < 400 || resp.StatusCode >= 500 || !strings.Contains(string(b), c[2]) {
			t.Errorf("%.60s: %d %s", c[1], resp.StatusCode, b)
		}
	}
}

// TestWhatIsNotBuilt says so, and what is there instead.
func TestWhatIsNotBuilt(t *testing.T) {
	h := api(newFake(), nil, nil)
	for _, c := range [][2]string{{"POST", "/v1/videos/characters"},
		{"GET", "/v1/videos/characters/char_1"}} {
		resp := ask(h, c[0], c[1], "{}", asJSON)
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 501 || !strings.Contains(string(b), "there is instead") ||
			resp.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("%s %s: %d %s", c[0], c[1], resp.StatusCode, b)
		}
	}
}

// TestSync waits for a video; one that fails is an error, one whose client leaves is cancelled.
func TestSync(t *testing.T) {
	f := newFake()
	h := api(f, nil, nil)
	f.objects["o1"] = "the video"
	end := func(state job.State) {
		f.watch = make(chan coord.View, 2)
		f.watch <- coord.View{Record: job.Record{State: job.Running}}
		f.watch <- coord.View{Record: job.Record{ID: "video_0", State: state, Error: "no power",
			Spec: job.Spec{Format: "webm", FPS: 16}, Result: job.Result{Video: job.Object{Name: "o1",
				Size: 9, SHA256: "aa"}}}}
		close(f.watch)
	}
	end(job.Completed)
	resp := ask(h, "POST", "/v1/videos/sync", `{"prompt": "a"}`, asJSON)
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(b) != "the video" ||
		resp.Header.Get("Content-Type") != "video/webm" || resp.Header.Get("X-Video-Id") == "" {
		t.Errorf("%d %s %v", resp.StatusCode, b, resp.Header)
	}
	end(job.Failed)
	resp = ask(h, "POST", "/v1/videos/sync", `{"prompt": "a"}`, asJSON)
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 500 || !strings.Contains(string(b), "no power") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	for cause, want := range map[error]job.State{context.Canceled: job.Cancelled,
		http.ErrServerClosed: job.Queued} {
		f.watch = make(chan coord.View)
		close(f.watch)
		ctx, leave := context.WithCancelCause(t.Context())
		leave(cause)
		r := httptest.NewRequest("POST", "/v1/videos/sync", strings.NewReader(`{"prompt": "a"}`))
		r.Host = "localhost"
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
		if got := f.jobs[f.order[len(f.order)-1]].State; got != want {
			t.Errorf("%v: the job is %s, want %s", cause, got, want)
		}
	}
}

// FuzzExtensions holds that no body makes the server panic.
func FuzzExtensions(f *testing.F) {
	f.Add("application/json", `{"video": {"id": "video_0"}, "seconds": 1}`)
	f.Add("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; "+
		"name=\"video[id]\"\r\n\r\nvideo_0\r\n--x--\r\n")
	f.Fuzz(func(t *testing.T, kind, body string) {
		fk := extender()
		completed(fk)
		resp := ask(api(fk, nil, nil), "POST", "/v1/videos/extensions", body, "Content-Type: "+kind)
		if c := resp.StatusCode; c != 200 && (c < 400 || c >= 500) {
			t.Errorf("status %d", c)
		}
	})
}
