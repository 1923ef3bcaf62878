package api

import (
	"context"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// TestEvents follows a long prompt's job: the prompt comes when the state changes, not with every
// step, and the stream says where it ends.
func TestEvents(t *testing.T) {
	f := newFake()
	rec, _ := f.Create(context.Background(), job.Request{Prompt: strings.Repeat("long ", 5000)})
	f.watch = make(chan coord.View, 10)
	f.watch <- coord.View{Record: rec, Waiting: "for a shard"}
	rec.State, rec.Attempt = job.Running, 1
	for done := 1; done <= 3; done++ {
		f.watch <- coord.View{Record: rec, Progress: job.Progress{Stage: job.StageDenoise, Done: done,
			Total: 4, ETA: time.Duration(4-done) * time.Second}}
	}
	rec.State, rec.Error = job.Failed, "no power"
	f.watch <- coord.View{Record: rec}
	close(f.watch)
	path := "/v1/videos/" + string(rec.ID) + "/events"
	b, _ := io.ReadAll(ask(api(f, nil, nil), "GET", path, "").Body)
	events := strings.Split(strings.TrimSpace(string(b)), "\n\n")
	want := []string{"video", "video", "progress", "progress", "video", "end"}
	if len(events) != len(want) || !strings.HasPrefix(events[0], "retry: ") {
		t.Fatalf("%d events: %.300s", len(events), b)
	}
	for i, e := range events {
		small := want[i] != "video"
		if !strings.Contains(e, "event: "+want[i]+"\nid: ") || small && len(e) > 200 {
			t.Errorf("event %d: %.300s", i, e)
		}
	}
	if !strings.HasSuffix(events[5], `data: {"id":"`+string(rec.ID)+`","status":"failed"}`) {
		t.Errorf("%s", events[5])
	}
	f.watch = nil // a browser comes back for ever, unless it is told to stop
	if resp := ask(api(f, nil, nil), "GET", path, "", "Last-Event-ID: end"); resp.StatusCode != 204 {
		t.Errorf("after the end: %d", resp.StatusCode)
	}
	if resp := ask(api(f, nil, nil), "GET", path, "", "Last-Event-ID: 3"); resp.StatusCode != 200 {
		t.Errorf("after a broken stream: %d", resp.StatusCode)
	}
}

// TestWatchKeepsWhatDoesNotChange wants the client to put patches together again.
func TestWatchKeepsWhatDoesNotChange(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	seed := uint64(math.MaxUint64)
	rec, _ := f.Create(context.Background(), job.Request{Prompt: "a", Seed: &seed})
	f.watch = make(chan coord.View, 10)
	rec.State = job.Running
	f.watch <- coord.View{Record: rec, Decision: "stays", Progress: job.Progress{Done: 1, Total: 4,
		Stage: job.StageDenoise}}
	f.watch <- coord.View{Record: rec, Progress: job.Progress{Done: 2, Total: 4,
		Stage: job.StageDenoise}}
	rec.State = job.Completed
	f.watch <- coord.View{Record: rec}
	close(f.watch)
	var seen []schema.Video
	if _, err := c.Watch(t.Context(), rec.ID, func(v schema.Video) { seen = append(seen, v) }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 3 || seen[1].Prompt != "a" || seen[1].Details.Spec.Seed != seed ||
		seen[1].Details.Done != 2 || seen[1].Details.Decision != "" || seen[0].Details.Decision == "" {
		t.Errorf("%+v", seen)
	}
}

// TestReadiness tells a coordinator that can make clips from one that cannot yet.
func TestReadiness(t *testing.T) {
	status := func(state string, nodes int) *coord.Status {
		return &coord.Status{State: state, Leader: "c1", Nodes: nodes}
	}
	for _, c := range []struct {
		name   string
		model  bool
		status *coord.Status
		err    error
		want   int
		says   string
	}{
		{"ready", true, status("Leader", 2), nil, 200, "[+] shards: 2"},
		{"before the first shard", false, status("Leader", 0), nil, 503, "no shard has registered yet"},
		{"its shards are gone", true, status("Leader", 0), nil, 503, "[-] shards: none"},
		{"a follower", true, status("Follower", 0), nil, 200, "[+] shards: known to the leader"},
		{"no leader", true, status("Candidate", 0), coord.ErrNotReady, 503, "[-] coordinator"},
	} {
		f := newFake()
		f.status, f.err = c.status, c.err
		if !c.model {
			f.model = job.Model{}
		}
		h := api(f, nil, nil)
		for _, path := range []string{"/readyz", "/health", "/readyz?verbose"} {
			resp := ask(h, "GET", path, "")
			b, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.want ||
				strings.Contains(path, "verbose") && !strings.Contains(string(b), c.says) {
				t.Errorf("%s: %s: %d %s", c.name, path, resp.StatusCode, b)
			}
		}
	}
}

func TestPollAfter(t *testing.T) {
	f := newFake()
	rec, _ := f.Create(context.Background(), job.Request{Prompt: "a"})
	h := api(f, nil, nil)
	for eta, want := range map[time.Duration]string{0: "500", time.Minute: "3000", time.Hour: "10000"} {
		f.set(rec.ID, func(v *coord.View) { v.State, v.Progress.ETA = job.Running, eta })
		resp := ask(h, "GET", "/v1/videos/"+string(rec.ID), "")
		if got := resp.Header.Get("openai-poll-after-ms"); got != want {
			t.Errorf("%v: %q", eta, got)
		}
	}
	f.set(rec.ID, func(v *coord.View) { v.State = job.Failed })
	if h := ask(h, "GET", "/v1/videos/"+string(rec.ID), "").Header; h["Openai-Poll-After-Ms"] != nil {
		t.Errorf("%v", h)
	}
}

// TestFollowersSayWhere wants an answer for those who do not follow redirects.
func TestFollowersSayWhere(t *testing.T) {
	f := newFake()
	f.err = &coord.NotLeaderError{ID: "c2", HTTP: "http://other:1"}
	resp := ask(api(f, nil, nil), "GET", "/v1/nodes", "")
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 307 || resp.Header.Get("Location") != "http://other:1/v1/nodes" ||
		!strings.Contains(string(b), "http://other:1") {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, b)
	}
}

func TestModels(t *testing.T) {
	f := newFake()
	f.model.Name = "Wan-AI/Wan2.1"
	h := New(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody, Clients: Clients{
		Aliases: map[string]string{"sora-2": "", "sora-1": "x"}}})
	for path, want := range map[string]int{"Wan-AI/Wan2.1": 200, "Wan-AI%2FWan2.1": 200, "other": 404,
		"sora-2": 200, "sora-1": 404} {
		if resp := ask(h, "GET", "/v1/models/"+path, ""); resp.StatusCode != want {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}
