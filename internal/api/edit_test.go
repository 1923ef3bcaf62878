package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// editor is a coordinator of a model that changes videos, or of one that follows them.
func editor(control bool) *fake {
	f := newFake()
	f.model.Takes = job.Takes{Video: !control, Control: control}
	return f
}

// film is a clip of n frames of one grey each, 8 frames a second.
func film(t testing.TB, format media.Format, n, w, h int) []byte {
	t.Helper()
	b, err := os.CreateTemp(t.TempDir(), "film")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	e, err := media.NewEncoder(format, b, media.Options{Width: w, Height: h, FPS: 8, Frames: n})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		f := media.Frame{W: w, H: h, RGB: bytes.Repeat([]byte{byte(10 * i)}, 3*w*h)}
		if err := e.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(b.Name())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// form writes texts and files; a name that begins with @ is a file's.
func form(t testing.TB, parts ...string) (kind, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		name, isFile := strings.CutPrefix(parts[i], "@")
		if !isFile {
			w.WriteField(name, parts[i+1])
			continue
		}
		part, err := w.CreateFormFile(name, "file")
		if err != nil {
			t.Fatal(err)
		}
		part.Write([]byte(parts[i+1]))
	}
	w.Close()
	return w.FormDataContentType(), b.String()
}

// stored wants the last request to have an input of so many frames in its size.
func stored(t *testing.T, f *fake, role job.Role, n, w, h int) *media.Stills {
	t.Helper()
	for _, in := range f.last.Inputs {
		if in.Role != role {
			continue
		}
		data := []byte(f.objects[in.Object.Name])
		s, err := media.OpenStills(media.PNG, bytes.NewReader(data), int64(len(data)))
		if err != nil || in.Kind != job.KindFrames || in.Frames != n || s.Len() != n {
			t.Fatalf("%s: %+v, %v", role, in, err)
		}
		frame, err := s.Frame(n-1, w, h)
		if err != nil || frame.W != w || frame.H != h {
			t.Fatalf("%s: %v", role, err)
		}
		return s
	}
	t.Fatalf("no %s in %+v", role, f.last.Inputs)
	return nil
}

// TestEditsOfUploads sends videos as files and as text, to both routes.
func TestEditsOfUploads(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := editor(false)
	_, c := serve(t, f)
	zip := film(t, media.PNG, 11, 48, 32)

	post := func(path, kind, body string) {
		t.Helper()
		if status, text, _ := do(t, c, "POST", path, kind, body); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
	}
	kind, body := form(t, "prompt", "a", "@video", string(zip))
	post("/v1/videos/edits", kind, body)
	stored(t, f, job.RoleVideo, 9, 48, 32) // what a clip of 11 frames can be, in its own size
	s := f.jobs["video_0"].Spec
	if s.Frames != 9 || s.Width != 48 || s.Strength != 0.8 || s.TotalSteps() != 3 {
		t.Errorf("%+v", s)
	}

	kind, body = form(t, "@video", string(zip), "prompt", "a", "num_frames", "5", "size", "32x48",
		"strength", "0.5")
	post("/v1/videos", kind, body)
	stored(t, f, job.RoleVideo, 5, 32, 48)

	text := fmt.Sprintf(`{"prompt": "a", "video": {"video_url": "data:video/webm;base64,%s"}}`,
		base64.StdEncoding.EncodeToString(zip))
	post("/v1/videos/edits", "application/json", text)
	stored(t, f, job.RoleVideo, 9, 48, 32)

	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v were left behind", left, err)
	}
}

// TestEditsOfClips names clips by their ids, whose rate and size the edit has.
func TestEditsOfClips(t *testing.T) {
	f := editor(false)
	_, c := serve(t, f)
	for _, format := range []media.Format{media.WebM, media.PNG} {
		rec, err := f.Create(context.Background(), job.Request{Prompt: "a", Format: string(format),
			FPS: ptr(job.Rate(8)), Frames: ptr(9), Width: ptr(64), Height: ptr(32)})
		if err != nil {
			t.Fatal(err)
		}
		edit := fmt.Sprintf(`{"prompt": "b", "video": {"id": %q}}`, rec.ID)
		status, text, _ := do(t, c, "POST", "/v1/videos/edits", "application/json", edit)
		if status != http.StatusConflict {
			t.Errorf("of a queued clip: %d %s", status, text)
		}
		o, err := f.StoreInput(context.Background(), bytes.NewReader(film(t, format, 9, 64, 32)))
		if err != nil {
			t.Fatal(err)
		}
		f.set(rec.ID, func(v *coord.View) { v.State, v.Result.Video = job.Completed, o })

		kind, body := form(t, "prompt", "b", "video[id]", string(rec.ID))
		for _, request := range [][2]string{{"application/json", edit}, {kind, body}} {
			status, text, _ := do(t, c, "POST", "/v1/videos/edits", request[0], request[1])
			if status != http.StatusOK || f.last.FPS == nil || *f.last.FPS != 8 {
				t.Fatalf("%d %s", status, text)
			}
			stored(t, f, job.RoleVideo, 9, 64, 32)
		}
	}

	// At twice the rate there are twice the frames.
	status, text, _ := do(t, c, "POST", "/v1/videos/edits", "application/json",
		`{"prompt": "b", "video": "video_0", "fps": 16}`)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	stored(t, f, job.RoleVideo, 17, 64, 32)
}

// TestEditsByControl sends a mask and reference pictures.
func TestEditsByControl(t *testing.T) {
	f := editor(true)
	_, c := serve(t, f)
	pic := string(picture(t))
	kind, body := form(t, "prompt", "a", "@mask", pic, "@reference_images", pic,
		"@reference_images[]", pic, "@video", string(film(t, media.PNG, 9, 48, 32)))
	status, text, _ := do(t, c, "POST", "/v1/videos", kind, body)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	stored(t, f, job.RoleVideo, 9, 48, 32)
	stored(t, f, job.RoleMask, 1, 48, 32)
	s := f.jobs["video_0"].Spec
	if s.References() != 2 || s.ConditioningScale != 1 || s.Strength != 0 {
		t.Errorf("%+v", s)
	}

	url := "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte(pic))
	status, text, _ = do(t, c, "POST", "/v1/videos", "application/json", fmt.Sprintf(
		`{"prompt": "a", "reference_images": [%q, {"image_url": %[1]q}], "num_frames": 5}`, url))
	if s := f.jobs["video_1"].Spec; status != http.StatusOK || s.References() != 2 {
		t.Errorf("%d %s", status, text)
	}
}

// TestEditsAreRefused wants one line that says what is allowed, before a job is made.
func TestEditsAreRefused(t *testing.T) {
	zip := string(film(t, media.PNG, 5, 48, 32))
	for _, c := range []struct {
		control bool
		status  int
		says    string
		parts   []string
	}{
		{false, 400, "video is missing", nil},
		{false, 400, "takes no mask", []string{"@video", zip, "@mask", zip}},
		{false, 400, "takes no reference", []string{"@reference_images", zip}},
		{false, 400, "up to the 5 of the video", []string{"@video", zip, "num_frames", "9"}},
		{false, 400, "strength is 2", []string{"@video", zip, "strength", "2"}},
		{false, 400, "a number above 0", []string{"@video", zip, "strength", "0"}},
		{false, 400, "less makes none of", []string{"@video", zip, "strength", "0.1"}},
		{false, 400, "not a video that can be read", []string{"@video", "PK\x03\x04 and no more"}},
		{false, 400, "only a VACE model", []string{"@video", zip, "conditioning_scale", "1"}},
		{false, 400, "width is 50", []string{"@video", zip, "size", "50x32"}},
		{false, 404, "video_9", []string{"video", "video_9"}},
		{true, 400, "conditioning_scale", []string{"@video", zip, "strength", "0.5"}},
		{true, 400, "there is none", []string{"@mask", zip}},
		{true, 400, "or the 9 frames", []string{"@mask", string(film(t, media.PNG, 5, 48, 32)),
			"@video", string(film(t, media.PNG, 9, 48, 32))}},
	} {
		f := editor(c.control)
		_, client := serve(t, f)
		path := "/v1/videos"
		if c.parts == nil {
			path = "/v1/videos/edits"
		}
		kind, body := form(t, append([]string{"prompt", "a"}, c.parts...)...)
		status, text, _ := do(t, client, "POST", path, kind, body)
		if status != c.status || !strings.Contains(text, c.says) || len(f.jobs) != 0 {
			t.Errorf("%q: %d %s", c.says, status, text)
		}
	}
}
