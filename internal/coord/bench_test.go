package coord

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// crowded is a coordinator with a thousand busy nodes that are silent between a benchmark's
// messages.
func crowded(b *testing.B) (*Coordinator, *nats.Conn) {
	cfg := testConfig(b.TempDir())
	cfg.Limits.Queued, cfg.Limits.Kept, cfg.Limits.Nodes = 1<<20, 1<<20, 1024
	cfg.Timing.LostAfter, cfg.Timing.Heartbeat = time.Minute, 500*time.Millisecond
	cfg.Timing.Grace, cfg.Timing.Tick = time.Minute, 250*time.Millisecond
	c, err := Start(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := nats.Connect("", c.NATS())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.Close()
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	for i := range 1000 {
		r := wire.Registration{Node: crowdID(i), Name: fmt.Sprint(i), Model: demo(), Device: "fake",
			Threads: 1, Route: fmt.Sprintf("nats-route://n%d:1", i),
			Work: wire.Work{Job: "over", Attempt: 1}} // so that created jobs wait
		m, err := conn.Request(wire.SubjectRegister, wire.Encode(r), 10*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		if w, err := wire.Decode[wire.Welcome](m.Data); err != nil || !w.Accepted {
			b.Fatal(w, err)
		}
	}
	return c, conn
}

func crowdID(i int) job.NodeID { return job.NodeID(fmt.Sprintf("n%d", i)) }

// BenchmarkCreate creates jobs that wait, by 32 clients at once.
func BenchmarkCreate(b *testing.B) {
	c, _ := crowded(b)
	b.ResetTimer()
	var clients sync.WaitGroup
	for k := range 32 {
		clients.Go(func() {
			for range b.N/32 + min(1, max(0, b.N%32-k)) {
				if _, err := c.Create(b.Context(), request(2)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// BenchmarkCreateAlone creates jobs that wait, one after the other.
func BenchmarkCreateAlone(b *testing.B) {
	c, _ := crowded(b)
	for b.Loop() {
		if _, err := c.Create(b.Context(), request(2)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHeartbeats has a thousand nodes beat once each, and waits for all answers.
func BenchmarkHeartbeats(b *testing.B) {
	_, conn := crowded(b)
	inbox := nats.NewInbox()
	answers := make(chan *nats.Msg, 2000)
	sub, err := conn.ChanSubscribe(inbox, answers)
	if err != nil {
		b.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends
	for b.Loop() {
		for i := range 1000 {
			h := wire.Encode(wire.Heartbeat{Node: crowdID(i), State: wire.Idle})
			if err := conn.PublishRequest(wire.SubjectHeartbeat, inbox, h); err != nil {
				b.Fatal(err)
			}
		}
		for range 1000 {
			<-answers
		}
	}
}
