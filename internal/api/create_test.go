package api

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

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

func TestFramesSnapWithANotice(t *testing.T) {
	_, c := serve(t, newFake())
	for body, want := range map[string]string{
		`{"prompt": "", "num_frames": 34}`: "34 frames were asked for; the clip has 33 (2.06 s)",
		`{"prompt": "", "seconds": 1.7}`:   "1.7 s at 16 fps were asked for; the clip has 29 frames (1.812 s)",
		`{"prompt": "", "seconds": 2}`:     "2 s at 16 fps were asked for; the clip has 33 frames",
		`{"prompt": ""}`:                   "",
	} {
		status, text, _ := do(t, c, "POST", "/v1/videos", "application/json", body)
		var v schema.Video
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
	for _, body := range []string{`{"prompt": "a"`, `{"prompt": "a`, `{"prompt": `, `{`} {
		if _, text, _ := do(t, c, "POST", "/v1/videos", "application/json", body); !strings.Contains(
			text, "it ends in the middle") {
			t.Errorf("%s: %s", body, text)
		}
	}
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
		h := New(Config{Service: fk, Metrics: prometheus.NewRegistry(), Auth: everybody})
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
