package targettest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Product is a server that is stood in for.
type Product string

// Products: vLLM-Omni, SGLang, TensorRT-LLM's present form and the one that MLPerf has, and Dynamo.
const (
	VLLM     Product = "vllm"
	SGLang   Product = "sglang"
	TensorRT Product = "tensorrt_llm"
	MLPerf   Product = "mlperf"
	Dynamo   Product = "nvidia"
)

// Fault is what goes wrong with a clip.
type Fault string

// Faults. Those from Status500 on concern the answer that would bring the clip's end.
const (
	None      Fault = ""
	Busy      Fault = "busy"      // 503 with Retry-After: 2, instead of taking it
	Reject    Fault = "reject"    // 400, instead of taking it
	Fail      Fault = "fail"      // it is taken, and fails
	Vanish    Fault = "vanish"    // it is taken, and forgotten
	Status500 Fault = "500"       // an answer of 500
	NoJSON    Fault = "no json"   // an answer that is a page of HTML
	Strange   Fault = "strange"   // JSON of something else
	Huge      Fault = "huge"      // an answer without end
	Hang      Fault = "hang"      // an answer that never comes
	BreakOff  Fault = "break off" // the connection ends in the middle
)

// Clip is a video that is made.
type Clip struct {
	Width, Height, Frames, FPS int
	Cut                        bool // its file ends in the middle
}

// Options say how a stand-in behaves. The zero value is one that makes each clip at once, one at a
// time.
type Options struct {
	Product Product
	// Work is how long the n-th clip takes, from 0; nil: no time.
	Work func(n int) time.Duration
	// Slots is how many clips are made at once; 0: one.
	Slots int
	// Waiting is how many more are taken; beyond that the answer is 429. 0: any number.
	Waiting int
	// Fault is what happens to the n-th clip; nil: nothing.
	Fault func(n int) Fault
	// Spoil changes what the n-th clip becomes; nil: what was asked for.
	Spoil func(n int, c Clip) Clip
	// File is the file of the n-th clip; nil: an MP4 without a picture in it.
	File func(n int, c Clip) []byte
	// Key is wanted as a bearer token; "": none is.
	Key string
	// Mute hides the routes by which a server tells what it is, but that of its models.
	Mute bool
}

// Server is a stand-in that runs.
type Server struct {
	*httptest.Server
	o     Options
	slots chan struct{}

	mu      sync.Mutex
	n       int // clips that were asked for
	pending int
	most    int // that were made at once
	making  int
	bodies  []map[string]any
	jobs    map[string]*job
	deleted []string
	polls   int
	ended   chan struct{} // closed when the server ends
}

// job is a clip that was taken. Its status changes under the server's lock, and the rest never.
type job struct {
	n      int    // from 0, in the order in which clips were asked for
	id     string // which all dialects show, in a field of some name
	status string // one of OpenAI's
	clip   Clip   // what is made, which is not what was asked for if Options.Spoil says so
	fault  Fault
}

// Start runs a stand-in for as long as the test.
func Start(t testing.TB, o Options) *Server {
	s := &Server{o: o, slots: make(chan struct{}, max(o.Slots, 1)), jobs: map[string]*job{},
		ended: make(chan struct{})}
	s.Server = httptest.NewServer(s.guard(s.routes()))
	t.Cleanup(func() {
		close(s.ended)
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// Bodies are the requests for clips so far, as their fields.
func (s *Server) Bodies() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]map[string]any(nil), s.bodies...)
}

// Deleted are the ids of clips that were taken back.
func (s *Server) Deleted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.deleted...)
}

// Most is how many clips were made at once, and Polls how often any was asked after.
func (s *Server) Most() (clips, polls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most, s.polls
}

// guard wants the key.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.o.Key != "" && r.Header.Get("Authorization") != "Bearer "+s.o.Key {
			answer(w, http.StatusUnauthorized, map[string]any{"error": "Unauthorized"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Routes are listed as FastAPI lists them, and hidden by Options.Mute: proxies hide them, and a
// client has to find out by other means what it speaks to.

// routes are those of the product.
func (s *Server) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		owner := s.o.Product
		if owner == MLPerf {
			owner = TensorRT
		}
		answer(w, 200, map[string]any{"object": "list", "data": []any{map[string]any{
			"id": "Wan2.2-T2V", "object": "model", "created": 1, "owned_by": owner}}})
	})

	// The routes that are listed are those that there are, as FastAPI lists them.
	var paths []string
	add := func(method, path string, f http.HandlerFunc) {
		paths = append(paths, path)
		m.HandleFunc(method+" "+path, f)
	}

	if s.o.Product != MLPerf && s.o.Product != Dynamo {
		add("POST", "/v1/videos", s.create)
		add("GET", "/v1/videos/{id}", s.get)
		add("DELETE", "/v1/videos/{id}", s.remove)
		add("GET", "/v1/videos/{id}/content", s.content)
	}

	switch s.o.Product {
	case Dynamo:
		add("POST", "/v1/videos", s.generate)
		add("GET", "/files/{id}", s.file)
	case MLPerf, TensorRT:
		add("POST", "/v1/videos/generations", s.generate)
	}

	if s.o.Mute {
		return m
	}

	m.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		routes := map[string]any{}
		for _, p := range paths {
			routes[p] = map[string]any{}
		}
		answer(w, 200, map[string]any{"info": map[string]any{"title": "FastAPI", "version": "0.1.0"},
			"paths": routes})
	})
	m.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"version": "1.2.3"})
	})
	return m
}

// answer writes JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client may have left
}

// take reads a request for a clip and admits it, or answers it and returns nil.
func (s *Server) take(w http.ResponseWriter, r *http.Request) (*job, map[string]any) {
	fields, ok := s.read(w, r)
	if !ok {
		return nil, nil
	}
	return s.admit(w, fields), fields
}

// admit takes a request for a clip, or answers it and returns nil.
func (s *Server) admit(w http.ResponseWriter, fields map[string]any) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.Waiting > 0 && s.pending >= s.o.Waiting+cap(s.slots) {
		answer(w, http.StatusTooManyRequests, map[string]any{"error": map[string]any{
			"message": "too many requests wait"}})
		return nil
	}

	// Requests that are refused from here on count, too: a fault is of the n-th request.
	n := s.n
	s.n++
	s.bodies = append(s.bodies, fields)
	j := &job{n: n, id: fmt.Sprintf("video_gen_%d", n), status: "queued", clip: clipOf(fields)}
	if s.o.Fault != nil {
		j.fault = s.o.Fault(n)
	}

	if s.o.Spoil != nil {
		j.clip = s.o.Spoil(n, j.clip)
	}

	switch j.fault {
	case Busy:
		w.Header().Set("Retry-After", "2")
		answer(w, http.StatusServiceUnavailable, map[string]any{"detail": "busy"})
		return nil
	case Reject:
		answer(w, http.StatusBadRequest, map[string]any{"error": map[string]any{
			"message": "this prompt is not allowed"}})
		return nil
	}

	s.pending++
	s.jobs[j.id] = j
	return j
}

// A stand-in is as slow as it is told to be, and no slower: the time of a clip is that of a timer,
// and nothing is computed. Slots and the queue before them are real, so that what a load generator
// sees under load is what a server with so many devices would show: latencies grow with the queue,
// and clips come at the rate of the slots.

// work makes a clip when there is a slot; it ends early with the server, or when left closes.
func (s *Server) work(j *job, left <-chan struct{}) {
	defer s.change(func() { s.pending-- })
	select {
	case s.slots <- struct{}{}:
	case <-s.ended:
		return
	case <-left:
		return
	}

	// How many are made at once is counted here, where the slots cannot be wrong about it.
	defer func() { <-s.slots }()
	s.change(func() {
		j.status, s.making = "in_progress", s.making+1
		s.most = max(s.most, s.making)
	})
	defer s.change(func() { s.making-- })

	if s.o.Work != nil {
		done := time.NewTimer(s.o.Work(j.n))
		defer done.Stop()
		select {
		case <-done.C:
		case <-s.ended:
		case <-left:
		}
	}

	s.change(func() {
		j.status = "completed"
		if j.fault == Fail {
			j.status = "failed"
		}
		if j.fault == Vanish {
			delete(s.jobs, j.id)
		}
	})
}

// change has f change what other requests see.
func (s *Server) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// clipOf is what a request wants, with the defaults of the servers.
func clipOf(f map[string]any) Clip {
	c := Clip{Width: 64, Height: 32, Frames: 9, FPS: 16}
	if ext, ok := f["nvext"].(map[string]any); ok {
		c.count(ext)
	}
	c.count(f)
	if size, ok := f["size"].(string); ok && size != "" {
		_, _ = fmt.Sscanf(size, "%dx%d", &c.Width, &c.Height) // was checked
	}
	return c
}

// count takes frames and rate from fields, which a form has as texts.
func (c *Clip) count(f map[string]any) {
	for name, to := range map[string]*int{"num_frames": &c.Frames, "fps": &c.FPS} {
		if n, err := strconv.Atoi(fmt.Sprint(f[name])); err == nil {
			*to = n
		}
	}
}
