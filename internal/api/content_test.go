package api

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// TestContentInParts asks for parts as players do, and with conditions as caches do.
func TestContentInParts(t *testing.T) {
	f := newFake()
	id := string(completed(f)) // "the video", ETag "aa"
	h := api(f, nil, nil)
	late := "If-Range: " + time.Unix(1000, 0).UTC().Format("Mon, 02 Jan 2006 15:04:05") + " GMT"
	for _, c := range []struct {
		name    string
		headers []string
		status  int
		body    string
		span    string // Content-Range
	}{
		{"whole", nil, 200, "the video", ""},
		{"Safari's first", []string{"Range: bytes=0-1"}, 206, "th", "bytes 0-1/9"},
		{"from", []string{"Range: bytes=4-"}, 206, "video", "bytes 4-8/9"},
		{"the last", []string{"Range: bytes=-3"}, 206, "deo", "bytes 6-8/9"},
		{"beyond", []string{"Range: bytes=9-"}, 416, "", "bytes */9"},
		{"another unit", []string{"Range: lines=0-1"}, 200, "the video", ""},
		{"nonsense", []string{"Range: bytes=b-a"}, 416, "", ""},
		{"the same still", []string{"Range: bytes=0-1", `If-Range: "aa"`}, 206, "th", "bytes 0-1/9"},
		{"another now", []string{"Range: bytes=0-1", `If-Range: "bb"`}, 200, "the video", ""},
		{"a weak one", []string{"Range: bytes=0-1", `If-Range: W/"aa"`}, 200, "the video", ""},
		{"a date", []string{"Range: bytes=0-1", late}, 200, "the video", ""},
		{"known", []string{`If-None-Match: "aa"`}, 304, "", ""},
		{"known, weak", []string{`If-None-Match: W/"aa"`}, 304, "", ""},
		{"in a list", []string{`If-None-Match: "x", W/"y", "aa"`}, 304, "", ""},
		{"any", []string{"If-None-Match: *"}, 304, "", ""},
		{"not known", []string{`If-None-Match: "bb", W/"cc"`}, 200, "the video", ""},
		{"must be", []string{`If-Match: "bb"`}, 412, "", ""},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			resp := ask(h, method, "/v1/videos/"+id+"/content", "", c.headers...)
			b, _ := io.ReadAll(resp.Body)
			if method == "HEAD" || resp.StatusCode == 416 {
				b = nil
			}
			want := c.body
			if method == "HEAD" {
				want = ""
			}
			if resp.StatusCode != c.status || string(b) != want ||
				c.span != "" && resp.Header.Get("Content-Range") != c.span ||
				c.status < 300 && (resp.Header.Get("Accept-Ranges") != "bytes" ||
					resp.Header.Get("Content-Length") == "") {
				t.Errorf("%s, %s: %d %q %v", method, c.name, resp.StatusCode, b, resp.Header)
			}
		}
	}
	resp := ask(h, "GET", "/v1/videos/"+id+"/content", "", "Range: bytes=0-2,4-8")
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 206 ||
		!strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/byteranges") ||
		!strings.Contains(string(b), "\r\n\r\nvideo\r\n") {
		t.Errorf("two parts: %d %v %q", resp.StatusCode, resp.Header, b)
	}
}

// TestTypesAreOurs wants the type that a shard claims for its result not to be sent on.
func TestTypesAreOurs(t *testing.T) {
	for format, want := range map[string]string{"webm": "video/webm", "mp4": "video/mp4",
		"png": "application/zip", "html": "application/octet-stream"} {
		f := newFake()
		id := completed(f)
		f.set(id, func(v *coord.View) { v.Spec.Format, v.Result.ContentType = format, "text/html" })
		h := api(f, nil, nil)
		for variant, want := range map[string]string{"video": want,
			"latents": "application/octet-stream"} {
			resp := ask(h, "GET", "/v1/videos/"+string(id)+"/content?variant="+variant, "")
			if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != want ||
				resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s of %s: %d %q", variant, format, resp.StatusCode, got)
			}
		}
	}
}

// TestDamageIsShown wants a job to say what became of its clip.
func TestDamageIsShown(t *testing.T) {
	f := newFake()
	id := completed(f)
	f.set(id, func(v *coord.View) { v.Damage = "the clip is damaged" })
	v := toVideo(f.jobs[id])
	if v.Status != "completed" || !strings.Contains(strings.Join(v.Details.Notices, " "), "damaged") {
		t.Errorf("%+v", v)
	}
	if d := toVideo(coord.View{Record: job.Record{State: job.Queued}}).Details; len(d.Notices) != 0 {
		t.Errorf("%v", d.Notices)
	}
}
