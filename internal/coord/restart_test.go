package coord

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// eventually polls a condition that has no event to wait for. Its limit ends a test that hangs, and
// does not measure: three object stores on a busy machine take more than ten seconds to agree.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestRestartKeepsJobs(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	c := start(t, testConfig(dir))
	a := fake(t, c, "a")
	done := create(t, c, request(1))
	a.finish(c, a.told())
	untilState(t, c, done, job.Completed)
	adopted := create(t, c, request(1))
	s := a.told()
	b := fake(t, c, "b")
	orphan := create(t, c, request(1))
	b.told()
	waiting := create(t, c, request(1))
	a.leave()
	b.leave()
	closed(t, c)

	c = start(t, testConfig(dir))
	v, err := c.Get(ctx, done)
	if err != nil || v.State != job.Completed {
		t.Fatalf("the finished job: %+v, %v", v, err)
	}
	r, err := c.Open(ctx, v.Result.Video)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "video of "+string(done) {
		t.Fatalf("%q, %v", text, err)
	}
	a.join(c) // still at work; the answer to its heartbeat makes it register
	if l := untilLost(t, c, orphan, 1); l.Reason != "the coordinator restarted, and node b (rank 0) "+
		"did not come back" {
		t.Fatalf("the orphan: %+v", l)
	}
	if ack := a.finish(c, s); !ack.OK {
		t.Fatalf("the adopted job: %+v", ack)
	}
	untilState(t, c, adopted, job.Completed)
	if s = a.told(); s.Plan.Job != orphan || s.Plan.Attempt != 2 {
		t.Fatalf("job %s runs", s.Plan.Job)
	}
	a.finish(c, s)
	if s := a.told(); s.Plan.Job != waiting {
		t.Fatalf("job %s runs", s.Plan.Job)
	}
}

func TestStaleWorkIsStopped(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	f := newFake(t, "a")
	f.work = wire.Work{Job: "video_of_another_life", Attempt: 1}
	f.join(c)
	if w := f.register(); !w.Accepted || !w.Stop {
		t.Fatalf("%+v", w)
	}
	eventually(t, "the node is idle", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.pulses["stop"] > 0
	})
}

func TestGoodbyeAndReplacement(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	a2 := fake(t, c, "a2", func(r *wire.Registration) { r.Route = a.reg.Route })
	a.leave()
	eventually(t, "a2 is there", func() bool { // a may have come between once more
		nodes, err := c.Nodes(ctx)
		return err == nil && len(nodes) == 1 && nodes[0].ID == "a2"
	})
	id := create(t, c, request(1))
	a2.told()
	close(a2.quit)
	a2.wg.Wait()
	if ack, err := ask[wire.Ack](a2, wire.SubjectGoodbye, wire.Goodbye{Node: "a2"}); err != nil || !ack.OK {
		t.Fatalf("%+v, %v", ack, err)
	}
	a2.once.Do(func() { a2.conn.Close() })
	if l := untilLost(t, c, id, 1); !strings.Contains(l.Reason, "name-a2 (rank 0) was shut down") {
		t.Fatalf("%+v", l)
	}
}

func TestStartErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	used := t.TempDir()
	start(t, testConfig(used))
	other := t.TempDir()
	closed(t, start(t, testConfig(other)))
	cases := map[string]struct {
		says string
		edit func(*Config)
	}{
		"taken port":     {"address already in use", func(c *Config) { c.NATS.Listen = l.Addr().String() }},
		"locked data":    {"another process holds it", func(c *Config) { c.Data = used }},
		"foreign data":   {"belongs to a cluster", func(c *Config) { c.Data, c.ID = other, "c9" }},
		"no data":        {"data directory is not set", func(c *Config) { c.Data = "" }},
		"bad id":         {"allowed", func(c *Config) { c.ID = "a b" }},
		"bad address":    {"not host:port", func(c *Config) { c.NATS.Listen = "nowhere" }},
		"raft alone":     {"need peers", func(c *Config) { c.Raft.Listen = "127.0.0.1:0" }},
		"unlisted":       {"do not include", func(c *Config) { *c = member(c.Data, "x", ports(3)) }},
		"taken for raft": {"address already in use", func(c *Config) { *c = taken(c.Data, l.Addr().String()) }},
	}
	for name, k := range cases {
		cfg := testConfig(dir)
		k.edit(&cfg)
		c, err := Start(context.Background(), cfg)
		if err == nil {
			c.Close()
			t.Errorf("%s: started", name)
			continue
		}
		if !strings.Contains(err.Error(), k.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhoAsksIsAnsweredWhenACoordinatorStops reads without a pause while coordinators stop.
func TestWhoAsksIsAnsweredWhenACoordinatorStops(t *testing.T) {
	for range 5 {
		c := start(t, testConfig(t.TempDir()))
		fake(t, c, "a")
		id := create(t, c, request(1))
		var readers sync.WaitGroup
		for range 32 {
			readers.Go(func() {
				for {
					if _, err := c.Get(context.Background(), id); err != nil {
						return
					}
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		closed(t, c)
		ended := make(chan struct{})
		go func() {
			readers.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("a reader still waits for an answer")
		}
	}
}
