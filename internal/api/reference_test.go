package api

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/textproto"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// record asks a handler for a video with JSON.
func record(t *testing.T, h http.Handler, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1/v1/videos",
		strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// part of a form; header lines may be added to its own.
type part struct{ name, file, value, kind string }

// submit sends a form.
func submit(t *testing.T, c *testClient, parts ...part) (int, schema.Error, schema.Video) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for _, p := range append([]part{{name: "prompt", value: "a"}}, parts...) {
		h := textproto.MIMEHeader{}
		text := fmt.Sprintf(`form-data; name=%q`, p.name)
		if p.file != "" {
			text += fmt.Sprintf(`; filename=%q`, strings.Trim(p.file, "-"))
		}
		h.Set("Content-Disposition", text)
		if p.kind != "" {
			h.Set("Content-Type", p.kind)
		}
		w, err := form.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(p.value))
	}
	form.Close()
	status, text, _ := do(t, c, "POST", "/v1/videos", form.FormDataContentType(), b.String())
	return answerOf(t, status, text)
}

// startOf is what a video starts from.
func startOf(v schema.Video) job.Input {
	in, _ := v.Details.Spec.Input(job.RoleStart)
	return in
}

// TestReferences sends a picture in all the ways that clients do.
func TestReferences(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := extender()
	_, c := serve(t, f)
	png := string(picture(t))
	plain := base64.StdEncoding.EncodeToString([]byte(png))
	data := "data:image/png;base64," + plain
	folded := "data:image/png;base64," + plain[:20] + "\\n" + strings.TrimRight(plain[20:], "=")

	given := func(how string, status int, e schema.Error, v schema.Video) {
		t.Helper()
		if status != 200 || startOf(v).Kind != job.KindImage ||
			f.objects[startOf(v).Object.Name] != png {
			t.Errorf("%.60s: %d %s, start %+v", how, status, e.Message, startOf(v))
		}
	}
	for _, how := range []string{`"` + data + `"`, `"` + plain + `"`, `{"image_url": "` + data + `"}`,
		`{"image_url": {"url": "` + data + `", "detail": "low"}}`, `[{"image_url": "` + data + `"}]`,
		`{"type": "image_url", "image_url": "` + data + `", "file_id": null}`, `"` + folded + `"`} {
		status, e, v := post(t, c, `{"prompt": "a", "input_reference": `+how+`}`)
		given(how, status, e, v)
		status, e, v = post(t, c, `{"prompt": "a", "image_reference": `+how+`}`)
		given(how, status, e, v)
	}
	for _, p := range []part{
		{name: "input_reference", file: "a.png", value: png},
		{name: "input_reference", file: "blob", value: png, kind: "application/octet-stream"},
		{name: "input_reference", value: png, kind: "image/png"}, {name: "input_reference", value: png},
		{name: "input_reference", value: data}, {name: "input_reference", value: plain},
		{name: "input_reference", value: `{"image_url": "` + data + `"}`},
		{name: "input_reference[image_url]", value: data},
		{name: "input_reference[image_url][url]", value: data},
		{name: "image_reference", file: "x", value: png}, {name: "input_reference[]", file: "x", value: png},
		{name: "extra_body", value: `{"input_reference": "` + data + `"}`},
	} {
		status, e, v := submit(t, c, p)
		given(p.name+" "+p.file+" "+p.value, status, e, v)
	}
	for _, p := range []part{{name: "input_reference", file: "-", kind: "application/octet-stream"},
		{name: "input_reference"}, {name: "input_reference", value: " \r\n"}, {name: "seed"},
		{name: "num_frames", value: " "}, {name: "metadata[a]", value: "1"}} {
		if status, e, v := submit(t, c, p); status != 200 || v.Details.Spec.Inputs != nil {
			t.Errorf("%+v: %d %s %+v", p, status, e.Message, startOf(v))
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v were left behind", left, err)
	}
}

// TestFormsHaveObjects wants fields[of][fields], as SDKs write JSON's objects in forms.
func TestFormsHaveObjects(t *testing.T) {
	_, c := serve(t, newFake())
	status, e, v := submit(t, c, part{name: "extra_params[x]", value: "1"},
		part{name: "extra_params[y][z]", value: "1"}, part{name: "extra_params[seed]", value: "9"},
		part{name: "extra_body[num_inference_steps]", value: "3"},
		part{name: "extra_body[metadata][a]", value: "b"})
	notices := strings.Join(v.Details.Notices, "; ")
	if s := v.Details.Spec; status != 200 || s.Seed != 9 || s.Steps != 3 ||
		!strings.Contains(notices, `has "x"`) || !strings.Contains(notices, `has "y"`) {
		t.Errorf("%d %s, %+v, %q", status, e.Message, s, notices)
	}
	for _, name := range []string{"extra_body[x]", "extra_body[]", "extra_body[lora][path]"} {
		if status, e, _ := submit(t, c, part{name: name, value: "1"}); status != 400 {
			t.Errorf("%s: %d %+v", name, status, e)
		}
	}
}

func TestReferencesAreRefused(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := extender()
	_, c := serve(t, f)
	png := string(picture(t))
	data := "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte(png))
	for how, says := range map[string]string{
		`{"file_id": "f"}`: "uploaded files are not kept", `{"image_url": 5}`: "allowed: one of",
		`{"image_url": {"url": {"url": {"url": "x"}}}}`: "allowed: one of", `{"picture": "x"}`: "one of",
		`5`: "allowed: one of", `["a", "b"]`: "allowed: one of", `"data:image/png,abc"`: "not base64",
		`"data:image/png;base64,%%%"`: "broken base64", `"hello"`: `"hello"`, `"aGVsbG8="`: "aGVsbG8=",
		`"data:text/html;base64,aGVsbG8="`:         "a file of another kind",
		`"data:image/gif;base64,R0lGODlhAQABAA=="`: "kind gif",
		`"https://example.com/a.png"`:              "http.fetch-urls",
		`"HTTP://169.254.169.254/"`:                "http.fetch-urls",
		`{"image_url": "http://127.0.0.1/a"}`:      "http.fetch-urls",
		`"file:///etc/passwd"`:                     `"file:///etc/passwd"`,
		`"` + data + `", "image_reference": "x"`:   "are given",
	} {
		status, e, _ := post(t, c, `{"prompt": "a", "input_reference": `+how+`}`)
		if status != 400 || !strings.Contains(e.Message, says) || e.Param == "" {
			t.Errorf("%.60s: %d %+v, want %q", how, status, e, says)
		}
	}
	for says, parts := range map[string][]part{
		"given twice": {{name: "seed", value: "1"}, {name: "seed", value: "1"}},
		"are given": {{name: "input_reference", file: "a", value: png},
			{name: "input_reference", value: data}},
		"once":               {{name: "input_reference", file: "a", value: png}, {name: "input_reference", file: "b", value: png}},
		"allowed for files":  {{name: "picture", file: "a", value: png}},
		"unknown field":      {{name: "input_reference[x]", value: "1"}},
		"are not kept":       {{name: "input_reference[file_id]", value: "1"}},
		"of another kind":    {{name: "input_reference", file: "a", value: data}},
		`unknown field "[b"`: {{name: "[b", value: "1"}},
	} {
		if status, e, _ := submit(t, c, parts...); status != 400 || !strings.Contains(e.Message, says) {
			t.Errorf("%q: %d %+v", says, status, e)
		}
	}
	large := strings.Repeat("A", bodyMax)
	if status, e, _ := post(t, c, `{"prompt": "`+large+`a"}`); status != 413 {
		t.Errorf("%d %+v", status, e)
	}
	if status, e, _ := post(t, c, `{"prompt": "a", "input_reference": "`+large+`"}`); status != 400 {
		t.Errorf("a text that is no picture: %d %+v", status, e)
	}
	f.model.Extends = false
	if status, e, _ := post(t, c, `{"prompt": "a", "input_reference": "`+data+`"}`); status != 400 ||
		!strings.Contains(e.Message, "was not trained") {
		t.Errorf("%d %+v", status, e)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 || len(f.jobs) != 0 {
		t.Errorf("%v, %v were left behind, %d jobs made", left, err, len(f.jobs))
	}
}

// pictureServer has a picture, redirects, and what is no picture.
func pictureServer(t *testing.T, png []byte) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/a.png", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Referer") != "" || r.Header.Get("Authorization") != "" {
			t.Errorf("sent %v", r.Header)
		}
		w.Write(png)
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("secret")) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "99999999999")
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/loop", http.StatusFound)
	})
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("u"), http.StatusFound)
	})
	return mux
}

// TestURLsAreFetched has pictures behind redirects, and what must not be fetched.
func TestURLsAreFetched(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	png := picture(t)
	mux := pictureServer(t, png)
	secure, open := httptest.NewTLSServer(mux), httptest.NewServer(mux)
	t.Cleanup(func() { secure.Close(); open.Close() })
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())

	ask := func(mode string, allowed func(netip.Addr) bool, url string) (int, schema.Error) {
		f := extender()
		s := newServer(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody})
		s.fetch = newFetcher(mode, allowed, &tls.Config{RootCAs: roots})
		w := record(t, s.mux(s.routes(prometheus.NewRegistry())),
			fmt.Sprintf(`{"prompt": "a", "input_reference": {"image_url": %q}}`, url))
		status, e, v := answerOf(t, w.Code, w.Body.String())
		if status == 200 && f.objects[startOf(v).Object.Name] != string(png) {
			t.Errorf("%s: %+v", url, startOf(v))
		}
		if strings.Contains(e.Message, "secret") {
			t.Errorf("%s tells what it read: %s", url, e.Message)
		}
		return status, e
	}
	any := func(netip.Addr) bool { return true }
	for _, url := range []string{secure.URL + "/a.png", secure.URL + "/to?u=/a.png"} {
		if status, e := ask("https", any, url); status != 200 {
			t.Errorf("%s: %d %s", url, status, e.Message)
		}
	}
	if status, e := ask("any", any, open.URL+"/to?u="+secure.URL+"/a.png"); status != 200 {
		t.Errorf("%d %s", status, e.Message)
	}
	for url, says := range map[string]string{
		open.URL + "/a.png":                            "another scheme than https",
		secure.URL + "/to?u=" + open.URL + "/a.png":    "another scheme than https",
		secure.URL + "/loop":                           "redirects",
		secure.URL + "/page":                           "no picture",
		secure.URL + "/none":                           "answers 404",
		secure.URL + "/large":                          "99999999999 bytes",
		strings.Replace(secure.URL, "//", "//u:p@", 1): "password",
		"https://":                               "no host",
		"https://a/" + strings.Repeat("a", 3000): "2048 bytes",
	} {
		if status, e := ask("https", any, url); status != 400 || !strings.Contains(e.Message, says) {
			t.Errorf("%.60s: %d %s, want %q", url, status, e.Message, says)
		}
	}
	for _, url := range []string{secure.URL + "/a.png", "https://localhost:1/", "https://[::1]:1/",
		"https://169.254.169.254/latest/meta-data", "https://10.0.0.1/", "https://[::ffff:127.0.0.1]:1/",
		"https://0.0.0.0:1/", "https://[fe80::1]/", "https://2130706433/"} {
		if status, e := ask("https", isPublic, url); status != 400 ||
			!strings.Contains(e.Message, "not public") && !strings.Contains(e.Message, "lookup") {
			t.Errorf("%s: %d %s", url, status, e.Message)
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v were left behind", left, err)
	}
}

func TestPublicAddresses(t *testing.T) {
	for text, want := range map[string]bool{"8.8.8.8": true, "2606:4700::1111": true, "1.1.1.1": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "224.0.0.1": false,
		"255.255.255.255": false, "198.18.0.1": false, "192.0.2.1": false, "240.0.0.1": false,
		"::": false, "::1": false, "fe80::1": false, "fc00::1": false, "fd12::1": false, "ff02::1": false,
		"::ffff:10.0.0.1": false, "::ffff:8.8.8.8": true, "64:ff9b::a00:1": false, "2002:a00:1::": false,
		"2001::1": false, "2001:db8::1": false, "fe80::1%eth0": false, "fec0::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public %v", text, got)
		}
	}
}
