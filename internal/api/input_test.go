package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// extender is a coordinator of a model that goes on from given latents.
func extender() *fake {
	f := newFake()
	f.model.Extends, f.model.Defaults.Window, f.model.Defaults.Overlap = true, 9, 3
	return f
}

// picture is a PNG.
func picture(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 20, 10))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// latentsOf is a safetensors file of one tensor of zeros.
func latentsOf(t testing.TB, name string, shape ...int) []byte {
	t.Helper()
	n := 1
	for _, d := range shape {
		n *= d
	}
	var b bytes.Buffer
	x := map[string]tensor.Tensor{name: tensor.FromFloat32(make([]float32, n), shape...)}
	if err := safetensors.Write(&b, x, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ptr[T any](v T) *T { return &v }

func TestClipsStartFromInputs(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := extender()
	_, c := serve(t, f)
	check := func(r job.Request, data []byte, want job.Input, frames, w, h int) {
		t.Helper()
		r.Prompt, r.Seed = "a ball", ptr(uint64(7))
		v, err := c.CreateFrom(t.Context(), r, client.File{Field: job.StartField, Name: "input",
			Reader: bytes.NewReader(data)})
		if err != nil {
			t.Fatal(err)
		}
		want.Object, err = artifact.Describe(t.Context(), bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		s := v.Details.Spec
		if s.Inputs[0] != want || s.Frames != frames || s.Width != w ||
			s.Height != h || s.Prompt != "a ball" || s.Seed != 7 || s.Long != job.LongExtend {
			t.Errorf("%+v", s)
		}
		if f.objects[want.Object.Name] != string(data) {
			t.Errorf("%d bytes were stored", len(f.objects[want.Object.Name]))
		}
	}
	shown := job.Input{Role: job.RoleStart, Kind: job.KindImage, Latents: 1}
	check(job.Request{}, picture(t), shown, 33, 96, 64)
	check(job.Request{Frames: ptr(49), Size: "64x96"}, picture(t), shown, 49, 64, 96)
	made := job.Input{Role: job.RoleStart, Kind: job.KindLatents, Latents: 3}
	z := latentsOf(t, "latents", 1, 16, 3, 6, 4)
	check(job.Request{}, z, made, 9+32, 32, 48)
	check(job.Request{Frames: ptr(8), Size: "32x48"}, z, made, 17, 32, 48)
	check(job.Request{Seconds: ptr(1.0)}, z, made, 25, 32, 48)
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v were left behind", left, err)
	}
}

func TestInputsAreRefused(t *testing.T) {
	f := extender()
	_, c := serve(t, f)
	check := func(status int, says string, data []byte, fields ...string) {
		t.Helper()
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		for i := 0; i < len(fields); i += 2 {
			form.WriteField(fields[i], fields[i+1])
		}
		part, err := form.CreateFormFile("input_reference", "file")
		if err != nil {
			t.Fatal(err)
		}
		part.Write(data)
		form.Close()
		got, text, _ := do(t, c, "POST", "/v1/videos", form.FormDataContentType(), b.String())
		if got != status || !strings.Contains(text, says) || strings.Count(text, "\n") != 1 {
			t.Errorf("%q: %d %s", says, got, text)
		}
	}
	z := latentsOf(t, "latents", 1, 16, 3, 6, 4)
	check(400, "prompt is missing", z)
	check(400, "a file of another kind", []byte("hello"), "prompt", "a")
	check(400, "a file of another kind", nil, "prompt", "a")
	check(400, "a file of another kind", append(binary.LittleEndian.AppendUint64(nil, 1<<17),
		strings.Repeat(" ", 1<<17)...), "prompt", "a")
	check(400, "kind gif", []byte("GIF89a"), "prompt", "a")
	check(400, "of something else", latentsOf(t, "x", 1, 16, 3, 6, 4), "prompt", "a")
	check(400, "of something else", latentsOf(t, "latents", 16, 3, 6, 4), "prompt", "a")
	check(400, "allowed: 16", latentsOf(t, "latents", 1, 8, 3, 6, 4), "prompt", "a")
	for _, bits := range []uint32{0x7fc00000, 0x7f800000, 0xff800000} { // NaN, +Inf, -Inf
		bad := bytes.Clone(z)
		binary.LittleEndian.PutUint32(bad[len(bad)-8:], bits)
		check(400, "finite", bad, "prompt", "a")
	}
	check(400, "allowed: 32x48", z, "prompt", "a", "size", "96x64")
	check(400, "to be added", z, "prompt", "a", "num_frames", "0")
	check(400, "more than the 9", z, "prompt", "a", "num_frames", "1")
	check(400, "PNG, JPEG", picture(t)[:40], "prompt", "a")
	check(400, "more than the 1", picture(t), "prompt", "a", "num_frames", "1")
	check(413, "too large", z, "prompt", strings.Repeat("a", bodyMax+1))
	status, text, _ := do(t, c, "POST", "/v1/videos", "application/json",
		`{"prompt": "a", "input_reference": {"file_id": "x"}}`)
	if status != 400 || !strings.Contains(text, "uploaded files are not kept") {
		t.Errorf("%d %s", status, text)
	}
	f.model.Extends = false
	check(400, "was not trained", picture(t), "prompt", "a")
	if len(f.jobs) != 0 {
		t.Errorf("%d jobs were made", len(f.jobs))
	}
}

func TestExtensions(t *testing.T) {
	f := extender()
	_, c := serve(t, f)
	first, err := c.Create(t.Context(), job.Request{Prompt: "a ball", Size: "64x96", FPS: ptr(job.Rate(8)),
		Steps: ptr(3), Seed: ptr(uint64(9)), Format: "png", Frames: ptr(41), Long: "extend",
		Window: ptr(6), Overlap: ptr(2)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Extend(t.Context(), first.ID, job.Request{}); err == nil ||
		!strings.Contains(err.Error(), "which is queued") {
		t.Errorf("a video that is not made yet: %v", err)
	}
	z := job.Object{Name: "z", Size: 1, SHA256: strings.Repeat("0", 64)}
	f.set(first.ID, func(v *coord.View) {
		v.State, v.Result = job.Completed, job.Result{Latents: z}
	})
	check := func(r job.Request, want func(*job.Spec)) {
		t.Helper()
		v, err := c.Extend(t.Context(), first.ID, r)
		s := first.Details.Spec
		s.Inputs = []job.Input{{Role: job.RoleStart, Kind: job.KindLatents, Object: z, Latents: 11}}
		s.Frames, s.Blocks = 41+32, 2
		if want(&s); err != nil || !v.Details.Spec.Equal(s) {
			t.Errorf("%+v, %v\nwant %+v", v.Details.Spec, err, s)
		}
	}
	check(job.Request{}, func(*job.Spec) {})
	check(job.Request{Seconds: ptr(2.0), Prompt: "a cube", Seed: ptr(uint64(3)), Steps: ptr(5)},
		func(s *job.Spec) {
			s.Frames, s.Prompt, s.Seed, s.Steps, s.Blocks = 41+16, "a cube", 3, 5, 1
		})
	check(job.Request{Frames: ptr(9)}, func(s *job.Spec) {
		s.Frames, s.FramesAsked, s.Blocks = 49, 50, 1
	})
	f.set(first.ID, func(v *coord.View) { v.Spec.Seed = 4 })
	check(job.Request{}, func(s *job.Spec) { s.Seed = 4 })
	for body, says := range map[string]string{`{"size": "96x64"}`: "allowed: 64x96",
		`{"long": "windows"}`: "extend", `{"num_frames": -1}`: "to be added", `{"x": 1}`: "unknown field"} {
		status, text, _ := do(t, c, "POST", "/v1/videos/video_0/extensions", "application/json", body)
		if status != 400 || !strings.Contains(text, says) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	if status, text, _ := do(t, c, "POST", fmt.Sprintf("/v1/videos/%s/extensions", "nobody"),
		"application/json", `{}`); status != 404 {
		t.Errorf("%d %s", status, text)
	}
}

// TestInputsAtOnceAreBounded wants a full server to say so, and a dropped input to make room.
func TestInputsAtOnceAreBounded(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := &server{inputs: make(chan struct{}, 1)}
	body := func() (*http.Request, error) {
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		file, err := form.CreateFormFile("input_reference", "a.png")
		if err == nil {
			_, err = file.Write(picture(t))
		}
		err = errors.Join(err, form.Close())
		r := httptest.NewRequest("POST", "/v1/videos", &b)
		r.Header.Set("Content-Type", form.FormDataContentType())
		return r, err
	}
	read := func() (inputs, error) {
		r, err := body()
		if err != nil {
			t.Fatal(err)
		}
		_, in, err := s.readRequest(httptest.NewRecorder(), r)
		return in, err
	}
	in, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if file, err := in[0].open(t.Context()); err != nil || !file.IsImage() {
		t.Fatalf("%+v, %v", file, err)
	}
	if _, err := read(); err == nil || !strings.Contains(err.Error(), "too many inputs") {
		t.Errorf("a second one: %v", err)
	}
	in.drop()
	in, err = read()
	if err != nil {
		t.Fatal(err)
	}
	in.drop()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v were left behind", left, err)
	}
}

// pictures is a model that makes clips from a first picture, and takes a last one.
func pictures() *fake {
	f := newFake()
	f.model.Takes = job.Takes{FirstImage: true, NeedsImage: true, LastImage: true, Condition: 20}
	return f
}

// TestFirstAndLastPictures sends two pictures in a form and in JSON, by their names and others',
// and wants both stored and inherited by a remix. A clip without the first one is refused.
func TestFirstAndLastPictures(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := pictures()
	_, c := serve(t, f)
	// What follows a picture's end is no part of it.
	first, last := picture(t), bytes.Repeat(picture(t), 2)
	check := func(how string, v schema.Video) {
		t.Helper()
		in := v.Details.Spec.Inputs
		if len(in) != 2 || in[0].Role != job.RoleStart || in[1].Role != job.RoleLast ||
			in[0].Latents != 0 || v.Details.Spec.Long != "" ||
			f.objects[in[0].Object.Name] != string(first) || f.objects[in[1].Object.Name] != string(last) {
			t.Errorf("%s: %+v", how, in)
		}
	}
	v, err := c.CreateFrom(t.Context(), job.Request{Prompt: "a"},
		client.File{Field: job.StartField, Name: "a.png", Reader: bytes.NewReader(first)},
		client.File{Field: job.LastField, Name: "b.png", Reader: bytes.NewReader(last)})
	if err != nil {
		t.Fatal(err)
	}
	check("a form", v)

	data := func(b []byte) string {
		return `"data:image/png;base64,` + base64.StdEncoding.EncodeToString(b) + `"`
	}
	status, e, v := post(t, c, `{"prompt": "a", "image_reference": `+data(first)+`, "end_image": `+
		data(last)+`}`)
	if status != 200 {
		t.Fatalf("%d %s", status, e.Message)
	}
	check("JSON", v)
	_, text, _ := do(t, c, "POST", "/v1/videos/"+string(v.ID)+"/remix", "application/json",
		`{"prompt": "b"}`)
	var again schema.Video
	if err := json.Unmarshal([]byte(text), &again); err != nil {
		t.Fatal(err)
	}
	check("a remix", again)

	for body, says := range map[string]string{
		`{"prompt": "a"}`: "input_reference is missing; allowed: a picture",
		`{"prompt": "a", "last_image": ` + data(last) + `, "end_image": ` + data(last) +
			`}`: "one of them",
		`{"prompt": "a", "last_image": "data:image/png;base64,aGVsbG8="}`: "last_image is a file of",
		`{"prompt": "a", "num_frames": 1, "input_reference": ` + data(first) + `, "last_image": ` +
			data(last) + `}`: "num_frames is 1; allowed: from 5",
	} {
		status, e, _ := post(t, c, body)
		if status != 400 || !strings.Contains(e.Message, says) {
			t.Errorf("%.60s: %d %s", body, status, e.Message)
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v were left behind", left, err)
	}
}
