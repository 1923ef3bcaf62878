package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/underrace"
)

// pipes is a listener whose connections are in memory, so that a test may have thousands, and time
// is that of its bubble.
type pipes struct {
	conns chan net.Conn
	ended chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.ended:
	default:
		close(p.ended)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects and sends the beginning of a request.
func (p *pipes) dial(t *testing.T, text string) net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	t.Cleanup(func() { client.Close() })
	go io.WriteString(client, text)
	return client
}

// answered reads an answer's status; 0: the connection was closed without one.
func answered(c net.Conn) int {
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// hold keeps a connection after it has sent text, whatever it is answered.
func (p *pipes) hold(t *testing.T, text string) {
	c := p.dial(t, text)
	go io.Copy(io.Discard, c) // a pipe has no room for it
}

// inBubble runs f with an API behind a gate of so many connections.
func inBubble(t *testing.T, fk *fake, most, spare int, f func(*testing.T, *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{make(chan net.Conn), make(chan struct{})}
		h := New(Config{Service: fk, Metrics: prometheus.NewRegistry(), Auth: everybody})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- serveGate(ctx, newGate(p, most, spare), nil, h) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		f(t, p)
	})
}

const (
	get  = "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
	half = "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
		"Content-Length: 90000\r\n\r\n{\"prompt\": \"a"
	between = time.Second
)

// TestProbesAreAnswered holds as many connections as an attacker likes, with bodies that never end.
func TestProbesAreAnswered(t *testing.T) {
	clients := 4096
	if testing.Short() {
		clients = 600
	}
	for _, limits := range [][2]int{{8192, 2048}, {128, 32}} {
		inBubble(t, newFake(), limits[0], limits[1], func(t *testing.T, p *pipes) {
			for i := range clients {
				path := []string{"/v1/videos", "/v1/videos/x/cancel", "/v1/cluster/snapshot",
					"/v1/cluster/members", "/v1/nodes/a/drain", "/nothing", "/livez"}[i%7]
				p.hold(t, fmt.Sprintf(half, path))
			}
			synctest.Wait()
			for _, path := range []string{"/livez", "/readyz", "/metrics"} {
				start := time.Now()
				if got := answered(p.dial(t, fmt.Sprintf(get, path))); got != 200 ||
					time.Since(start) > time.Second {
					t.Errorf("%v: %s: %d after %v", limits, path, got, time.Since(start))
				}
			}
			time.Sleep(bodyTime + lingerTime + between) // they are let go
			if got := answered(p.dial(t, fmt.Sprintf(get, "/v1/models"))); got != 200 {
				t.Errorf("%v: afterwards: %d", limits, got)
			}
		})
	}
}

// TestSilentConnections holds connections that say nothing.
func TestSilentConnections(t *testing.T) {
	inBubble(t, newFake(), 8, 4, func(t *testing.T, p *pipes) {
		for range 100 {
			p.hold(t, "GET ")
		}
		synctest.Wait()
		if got := answered(p.dial(t, fmt.Sprintf(get, "/livez"))); got != 200 {
			t.Errorf("a probe: %d", got)
		}
		if got := answered(p.dial(t, fmt.Sprintf(get, "/v1/models"))); got != 503 {
			t.Errorf("a request: %d", got)
		}
		time.Sleep(headerTime + between)
		if got := answered(p.dial(t, fmt.Sprintf(get, "/v1/models"))); got != 200 {
			t.Errorf("afterwards: %d", got)
		}
	})
}

// TestIdleConnectionsMakeRoom wants clients that keep connections open not to keep others out.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	inBubble(t, newFake(), 4, 1, func(t *testing.T, p *pipes) {
		for i := range 20 {
			if got := answered(p.dial(t, fmt.Sprintf(get, "/v1/models"))); got != 200 {
				t.Fatalf("client %d: %d", i, got)
			}
			synctest.Wait()
		}
	})
}

// TestBodiesHaveToCome sends one a byte at a time, and one at a slow pace that is allowed.
func TestBodiesHaveToCome(t *testing.T) {
	inBubble(t, newFake(), 8, 2, func(t *testing.T, p *pipes) {
		start := time.Now()
		c := p.dial(t, fmt.Sprintf(half, "/v1/videos"))
		go func() {
			for {
				time.Sleep(time.Second) // of the bubble
				if _, err := io.WriteString(c, "a"); err != nil {
					return
				}
			}
		}()
		if got, took := answered(c), time.Since(start); got != 400 || took > 2*bodyTime {
			t.Errorf("a trickle: %d after %v", got, took)
		}
		prompt := strings.Repeat("a", 30000)
		c2 := p.dial(t, fmt.Sprintf("POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: "+
			"application/json\r\nContent-Length: %d\r\n\r\n{\"prompt\": \"%s", len(prompt)+14, prompt))
		go func() {
			time.Sleep(bodyTime - time.Second)
			io.WriteString(c2, `"}`)
		}()
		if got := answered(c2); got != 200 {
			t.Errorf("slow: %d", got)
		}
	})
}

// TestStreamsOutliveTheirRequest wants the time for a body not to end what is sent after it.
func TestStreamsOutliveTheirRequest(t *testing.T) {
	f := newFake()
	rec, _ := f.Create(context.Background(), job.Request{Prompt: "a"})
	inBubble(t, f, 8, 2, func(t *testing.T, p *pipes) {
		f.watch = make(chan coord.View, 1)
		c := p.dial(t, fmt.Sprintf(get, "/v1/videos/"+string(rec.ID)+"/events"))
		lines := make(chan string, 1000)
		go func() {
			for s := bufio.NewScanner(c); s.Scan(); {
				lines <- s.Text()
			}
			close(lines)
		}()
		time.Sleep(time.Hour)
		f.watch <- coord.View{Record: rec}
		close(f.watch)
		seen := ""
		for line := range lines {
			seen += line
			if line == "0" { // the last chunk
				break
			}
		}
		if !strings.Contains(seen, `"id":"`+string(rec.ID)) {
			t.Errorf("after an hour: %.300s", seen)
		}
	})
}

// TestSlowReaders lets readers take nothing of a list of large jobs.
func TestSlowReaders(t *testing.T) {
	f := newFake()
	for range 100 {
		_, _ = f.Create(context.Background(), job.Request{Prompt: strings.Repeat("a", 30000)})
	}
	inBubble(t, f, 8, 2, func(t *testing.T, p *pipes) {
		start := time.Now()
		c := p.dial(t, fmt.Sprintf(get, "/v1/videos?limit=100"))
		time.Sleep(2 * stallTime)
		if _, err := io.Copy(io.Discard, c); err != nil || time.Since(start) > 3*stallTime {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		c = p.dial(t, fmt.Sprintf(get, "/v1/videos?limit=100"))
		b, err := io.ReadAll(io.LimitReader(c, 6<<20))
		if err != nil || len(b) < 100*2*30000 {
			t.Errorf("a reader that reads has %d bytes, %v", len(b), err)
		}
	})
}

// countingWriter knows the largest piece it was given.
type countingWriter struct{ n, most int }

func (c *countingWriter) Write(p []byte) (int, error) {
	c.n += len(p)
	c.most = max(c.most, len(p))
	return len(p), nil
}

// TestListsAreReadWhole lists more than fits one answer of another kind, a piece at a time.
func TestListsAreReadWhole(t *testing.T) {
	underrace.Skip(t, "short lists are read by the same goroutines")
	f := newFake()
	_, c := serve(t, f)
	scenes := make([]job.Scene, 20)
	for i := range scenes {
		scenes[i] = job.Scene{Start: float64(i), Prompt: strings.Repeat("<", 32000)}
	}
	var p coord.Page
	for i := range 20 {
		rec := job.Record{ID: job.ID(fmt.Sprintf("video_%d", i)), State: job.Queued,
			Spec: job.Spec{Scenes: scenes, FPS: 16}}
		f.jobs[rec.ID] = coord.View{Record: rec}
		f.order = append(f.order, rec.ID)
		p.Jobs = append(p.Jobs, f.jobs[rec.ID])
	}
	l, err := c.List(t.Context(), "", 20, "")
	if err != nil || len(l.Data) != 20 || l.FirstID != "video_19" || l.LastID != "video_0" || l.HasMore {
		t.Errorf("%d videos, %q to %q, %v", len(l.Data), l.FirstID, l.LastID, err)
	}
	var w countingWriter
	if writeList(&w, p); w.n < client.AnswerMax || w.most > w.n/10 {
		t.Errorf("%d bytes in pieces of up to %d", w.n, w.most)
	}
}

// TestFormsOfParameters wants what is no small form refused, and nothing of it on disk.
func TestFormsOfParameters(t *testing.T) {
	t.Setenv("TMPDIR", "/nonexistent")
	h := api(newFake(), nil, nil)
	big := "--x\r\nContent-Disposition: form-data; name=\"within\"; filename=\"a\"\r\n\r\n" +
		strings.Repeat("a", 1<<20) + "\r\n--x--\r\n"
	for _, path := range []string{"/v1/nodes/a/drain", "/v1/cluster/transfer"} {
		for _, body := range [][2]string{{"multipart/form-data; boundary=x", big},
			{"application/x-www-form-urlencoded", "a=" + strings.Repeat("a", 1<<20)}} {
			resp := ask(h, "POST", path, body[1], "Content-Type: "+body[0])
			if resp.StatusCode != 413 {
				t.Errorf("%s of %s: %d", path, body[0], resp.StatusCode)
			}
		}
	}
	if resp := ask(h, "POST", "/v1/nodes/a/drain", "within=-1",
		"Content-Type: application/x-www-form-urlencoded"); resp.StatusCode != 400 {
		t.Errorf("a form is not read: %d", resp.StatusCode)
	}
}

// TestSnapshotsOneAtATime restores one while another comes, and one that is too large.
func TestSnapshotsOneAtATime(t *testing.T) {
	f := newFake()
	s := newServer(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody})
	h := newGuard(s.mux(s.routes(prometheus.NewRegistry())), nil, nil)
	s.snapshots <- struct{}{}
	if resp := ask(h, "POST", "/v1/cluster/snapshot", "{}"); resp.StatusCode != 503 ||
		resp.Header.Get("Retry-After") == "" {
		t.Errorf("a second: %d", resp.StatusCode)
	}
	<-s.snapshots
	if resp := ask(h, "POST", "/v1/cluster/snapshot", `{"a":1}`); resp.StatusCode != 200 ||
		f.snapshot != `{"a":1}` {
		t.Errorf("%d, %q", resp.StatusCode, f.snapshot)
	}
	resp := ask(h, "GET", "/v1/cluster/snapshot", "")
	if b, _ := io.ReadAll(resp.Body); string(b) != `{"a":1}` {
		t.Errorf("%q", b)
	}
	if len(s.snapshots) != 0 {
		t.Error("a place is still taken")
	}
}
