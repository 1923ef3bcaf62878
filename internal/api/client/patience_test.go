package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// clientOf returns a client whose every connection leads to serve, without a network.
func clientOf(t *testing.T, serve func(net.Conn)) *Client {
	t.Helper()
	tr := newTransport()
	tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go serve(far)
		return near, nil
	}
	t.Cleanup(tr.CloseIdleConnections)
	c, err := New("http://me:secret@coordinator.test:8080", &http.Client{Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestClientDoesNotWaitForASilentServer tries servers that stop talking at every stage.
func TestClientDoesNotWaitForASilentServer(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
	for name, says := range map[string]string{"nothing": "", "half a header": head[:20],
		"half a body": head + `{"id":`} {
		synctest.Test(t, func(t *testing.T) {
			c := clientOf(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					io.WriteString(conn, says) //nolint:errcheck // read or not
				}
				_, _ = io.Copy(io.Discard, conn) // until the client hangs up
				conn.Close()
			})
			start := time.Now()
			_, err := c.Get(t.Context(), "job_1")
			if err == nil || !strings.Contains(err.Error(), "silent") ||
				strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("%s: it took %v", name, took)
			}
		})
	}
}

// TestSlowIsNotSilent downloads what comes a little at a time, for longer than silence may last.
func TestSlowIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		c := clientOf(t, func(conn net.Conn) {
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n)
			for range n {
				time.Sleep(silentTime / 3)
				if _, err := conn.Write([]byte{'x'}); err != nil {
					return
				}
			}
		})
		r, err := c.Content(t.Context(), "job_1", "video")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if b, err := io.ReadAll(r); err != nil || len(b) != n {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}

// TestAnswerAboutAnotherVideo is refused: its id would name a file, or a job to cancel.
func TestAnswerAboutAnotherVideo(t *testing.T) {
	for _, id := range []string{"job_2", "../../etc/passwd", ""} {
		body := fmt.Sprintf(`{"id":%q,"longtake":{"state":"completed"}}`, id)
		c := clientOf(t, func(conn net.Conn) {
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		})
		if v, err := c.Get(t.Context(), "job_1"); err == nil {
			t.Errorf("an answer with id %q became %q", id, v.ID)
		}
	}
}

func TestErrorsNameNoPassword(t *testing.T) {
	for _, base := range []string{"ftp://me:secret@host", "http://me:secret@ho st/", "me:secret@host",
		"http://me:sec/ret@host:1x"} {
		if _, err := New(base, nil); err == nil || strings.Contains(err.Error(), "ret@") {
			t.Errorf("%q: %v", base, err)
		}
	}
	c, err := New("http://me:secret@127.0.0.1:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Cluster(t.Context())
	var u *UnreachableError
	if !errors.As(err, &u) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// TestBrokenAnswerIsNotUnreachable: of a coordinator that hangs up there is something to say.
func TestBrokenAnswerIsNotUnreachable(t *testing.T) {
	c := clientOf(t, func(conn net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		conn.Close()
	})
	_, err := c.Content(t.Context(), job.ID("job_1"), "video")
	if err == nil || !strings.Contains(err.Error(), "broke off") ||
		!strings.Contains(err.Error(), "/v1/videos/job_1/content") {
		t.Errorf("%v", err)
	}
}

// TestClientFollowsToTheLeader with all that it sends; where the leader is away, the error names
// it.
func TestClientFollowsToTheLeader(t *testing.T) {
	leader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || !strings.Contains(string(b), "a red ball") ||
			r.Header.Get("Idempotency-Key") == "" {
			http.Error(w, "not what was sent", http.StatusBadRequest)
			return
		}
		io.WriteString(w, `{"id":"video_1"}`) //nolint:errcheck // read below
	}))
	defer leader.Close()
	to := leader.URL
	follower := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to+r.URL.RequestURI())
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer follower.Close()
	c, err := New(follower.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	prompt := "a red ball"
	if v, err := c.Create(t.Context(), job.Request{Prompt: prompt}); err != nil || v.ID != "video_1" {
		t.Errorf("%+v, %v", v, err)
	}
	to = "http://127.0.0.1:1"
	if _, err := c.Nodes(t.Context()); err == nil || !strings.Contains(err.Error(), to) ||
		!strings.Contains(err.Error(), follower.URL) {
		t.Errorf("%v", err)
	}
}
