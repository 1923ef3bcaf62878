package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/job"
)

// ask sends a request with headers ("Name: value") to an API without a network.
func ask(h http.Handler, method, path, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost:8080"
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func api(f *fake, hosts, origins []string) http.Handler {
	return New(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody,
		Hosts: hosts, Origins: origins})
}

// TestPagesElsewhere sends what a browser sends for a page of another origin, with bodies that need
// no preflight.
func TestPagesElsewhere(t *testing.T) {
	form := "--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na\r\n--x--\r\n"
	changes := [][4]string{
		{"POST", "/v1/cluster/snapshot", "text/plain", "{}"},
		{"POST", "/v1/videos", "multipart/form-data; boundary=x", form},
		{"POST", "/v1/videos/video_0/cancel", "text/plain", ""},
		{"POST", "/v1/nodes/a/drain", "application/x-www-form-urlencoded", "within=0"},
		{"POST", "/v1/cluster/transfer", "text/plain", ""},
		{"DELETE", "/v1/videos/video_0", "", ""},
		{"DELETE", "/v1/cluster/members/c1", "", ""},
	}
	from := map[string][]string{
		"another site":       {"Origin: http://evil.example", "Sec-Fetch-Site: cross-site"},
		"another port":       {"Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"},
		"an old browser":     {"Origin: http://evil.example"},
		"a sandboxed frame":  {"Origin: null", "Sec-Fetch-Site: cross-site"},
		"no origin, a frame": {"Sec-Fetch-Site: cross-site"},
	}
	for who, headers := range from {
		for _, c := range changes {
			f := newFake()
			f.snapshot = "whole"
			completed(f)
			resp := ask(api(f, nil, nil), c[0], c[1], c[3], append(headers, "Content-Type: "+c[2])...)
			if resp.StatusCode != 403 || f.snapshot != "whole" || len(f.order) != 1 || len(f.jobs) != 1 {
				t.Errorf("%s: %s %s: %d", who, c[0], c[1], resp.StatusCode)
			}
		}
	}
	for who, headers := range map[string][]string{
		"no browser":    nil,
		"the same":      {"Origin: http://localhost:8080", "Sec-Fetch-Site: same-origin"},
		"a trusted":     {"Origin: https://clips.example", "Sec-Fetch-Site: cross-site"},
		"typed by hand": {"Sec-Fetch-Site: none"},
	} {
		h := api(newFake(), nil, []string{"https://clips.example"})
		resp := ask(h, "POST", "/v1/videos", form,
			append(headers, "Content-Type: multipart/form-data; boundary=x")...)
		if resp.StatusCode != 200 {
			t.Errorf("%s: %d", who, resp.StatusCode)
		}
	}
}

// TestHosts wants names that an attacker can point at the server refused.
func TestHosts(t *testing.T) {
	f := newFake()
	h := api(f, Hosts([]string{"clips.example", "*.lan.example"}, "0.0.0.0:80",
		"http://head.example:8080"), nil)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "LOCALHOST.": 200, "a.localhost": 200,
		"127.0.0.1:1": 200, "[::1]:8080": 200, "192.0.2.7": 200, "[fe80::1%25eth0]:80": 200, "": 200,
		"clips.example": 200, "Clips.Example:443": 200, "a.lan.example": 200, "head.example": 200,
		"evil.example": 403, "evil.example:8080": 403, "lan.example": 403, "a.clips.example": 403,
		"localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "evil-lan.example": 403,
	} {
		if resp := ask(h, "GET", "/v1/models", "", "Host: "+host); resp.StatusCode != want {
			t.Errorf("%q: %d, want %d", host, resp.StatusCode, want)
		}
	}
	if resp := ask(h, "GET", "/livez", "", "Host: health.example"); resp.StatusCode != 200 {
		t.Errorf("a probe: %d", resp.StatusCode)
	}
	if resp := ask(api(f, []string{"*"}, nil), "GET", "/v1/models", "", "Host: evil.example"); resp.
		StatusCode != 200 {
		t.Errorf("any host: %d", resp.StatusCode)
	}
}

func TestCheckAccess(t *testing.T) {
	for _, good := range []string{"a", "a.b-c.example", "*.a.example", "*", "10.0.0.1", "::1"} {
		if err := CheckAccess([]string{good}, nil); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "http://a", "a/b", "a b", "**", "*.*", "a*"} {
		if CheckAccess([]string{bad}, nil) == nil {
			t.Errorf("host %q is taken", bad)
		}
	}
	for _, good := range []string{"http://a", "https://a.example:8443", "*", "http://[::1]:3000"} {
		if err := CheckAccess(nil, []string{good}); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "a.example", "http://a/", "http://a/b", "ftp://a", "null",
		"http://", "http://u@a", "*.a"} {
		if CheckAccess(nil, []string{bad}) == nil {
			t.Errorf("origin %q is taken", bad)
		}
	}
}

func TestCORS(t *testing.T) {
	f := newFake()
	id := string(completed(f))
	origin := "Origin: https://clips.example"
	preflight := []string{origin, "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: content-type,x-stainless-lang"}
	for _, allowed := range []string{"https://clips.example", "*"} {
		h := api(f, nil, []string{allowed})
		resp := ask(h, "OPTIONS", "/v1/videos", "", preflight...)
		if resp.StatusCode != 204 || !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"),
			"x-stainless-lang") || !strings.Contains(resp.Header.Get("Access-Control-Allow-Methods"),
			"DELETE") {
			t.Errorf("preflight: %d %v", resp.StatusCode, resp.Header)
		}
		// fetch, EventSource, <video crossorigin>, and an error.
		for _, path := range []string{"", "/events", "/content", "/none"} {
			resp := ask(h, "GET", "/v1/videos/"+id+path, "", origin)
			exposed := resp.Header.Get("Access-Control-Expose-Headers")
			if resp.Header.Get("Access-Control-Allow-Origin") != "https://clips.example" ||
				!strings.Contains(exposed, "Content-Range") || resp.Header.Get("Vary") != "Origin" {
				t.Errorf("%q: %v", path, resp.Header)
			}
		}
	}
	for _, origins := range [][]string{nil, {"https://other.example"}} {
		h := api(f, nil, origins)
		for _, resp := range []*http.Response{ask(h, "OPTIONS", "/v1/videos", "", preflight...),
			ask(h, "GET", "/v1/videos/"+id, "", origin)} {
			if resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.StatusCode >= 300 {
				t.Errorf("%v: %d %v", origins, resp.StatusCode, resp.Header)
			}
		}
	}
}

func TestEveryAnswerHasAnID(t *testing.T) {
	h := api(newFake(), nil, nil)
	for _, path := range []string{"/livez", "/v1/models", "/v1/videos/none", "/nothing", "/v1/videos"} {
		for _, method := range []string{"GET", "PUT", "OPTIONS"} {
			resp := ask(h, method, path, "")
			if id := resp.Header.Get("X-Request-Id"); len(id) < 10 ||
				resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s: %v", method, path, resp.Header)
			}
		}
	}
	for sent, want := range map[string]bool{"abc-1.2:3_4": true, "a\tb": false, "": false,
		strings.Repeat("a", 129): false, "<script>": false} {
		got := ask(h, "GET", "/livez", "", "X-Request-Id: "+sent).Header.Get("X-Request-Id")
		if (got == sent) != want || got == "" {
			t.Errorf("%q became %q", sent, got)
		}
	}
}

// TestMethodsAndSlashes wants known paths told from unknown ones.
func TestMethodsAndSlashes(t *testing.T) {
	f := newFake()
	id := string(completed(f))
	h := api(f, nil, nil)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"PUT", "/v1/videos", 405, "GET, HEAD, OPTIONS, POST"},
		{"POST", "/v1/videos/" + id + "/content", 405, "GET, HEAD, OPTIONS"},
		{"GET", "/v1/videos/" + id + "/cancel", 405, "OPTIONS, POST"},
		{"PATCH", "/v1/videos/" + id, 405, "DELETE, GET, HEAD, OPTIONS"},
		{"DELETE", "/v1/videos/", 405, "GET, HEAD, OPTIONS, POST"},
		{"TRACE", "/livez", 405, "GET, HEAD, OPTIONS"},
		{"OPTIONS", "/v1/videos", 204, "GET, HEAD, OPTIONS, POST"},
		{"GET", "/v1/videos/", 200, ""},
		{"GET", "/v1/videos/" + id + "/", 200, ""},
		{"HEAD", "/v1/videos", 200, ""},
		{"HEAD", "/v1/videos/" + id, 200, ""},
		{"GET", "/health", 200, ""},
		{"GET", "/v1/nothing/", 404, ""},
		{"GET", "/", 404, ""},
	} {
		resp := ask(h, c.method, c.path, "")
		if resp.StatusCode != c.status || resp.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d %q", c.method, c.path, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	if got := f.jobs[job.ID(id)].State; got != job.Completed {
		t.Errorf("the job became %s", got)
	}
}
