package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

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
	get := func(want int, says string) schema.Video {
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
	get(404, "no decoded seconds yet")
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
	var e *schema.Error
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
	v, err := c.Watch(context.Background(), rec.ID, func(v schema.Video) {
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
