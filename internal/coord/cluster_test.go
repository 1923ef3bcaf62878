package coord

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// ports finds free ports, two for each coordinator: Raft's, then NATS routes'.
func ports(n int) []string {
	var out []string
	for range 2 * n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

// member configures one of the coordinators c0, c1 and so on.
func member(dir, id string, addrs []string) Config {
	cfg := config(dir)
	cfg.ID = id
	cfg.Timing.Election = 150 * time.Millisecond
	for i := range len(addrs) / 2 {
		name := fmt.Sprintf("c%d", i)
		cfg.Raft.Peers = append(cfg.Raft.Peers,
			Peer{ID: name, Raft: addrs[2*i], HTTP: "http://" + name})
		if cfg.Raft.Listen == "" || name == id {
			cfg.Raft.Listen, cfg.NATS.Routes = addrs[2*i], addrs[2*i+1]
		}
		cfg.NATS.Peers = append(cfg.NATS.Peers, "nats-route://"+addrs[2*i+1])
	}
	return cfg
}

func taken(dir, addr string) Config {
	addrs := ports(3)
	addrs[0] = addr
	return member(dir, "c0", addrs)
}

func leaderOf(t *testing.T, all []*Coordinator) *Coordinator {
	t.Helper()
	var found *Coordinator
	eventually(t, "one leads and has the object store", func() bool {
		for _, c := range all {
			if c.lead.Load() != nil && c.Ready(context.Background()) == nil {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

func TestThreeCoordinators(t *testing.T) {
	ctx := context.Background()
	addrs := ports(3)
	var all []*Coordinator
	for i := range 3 {
		all = append(all, start(t, member(t.TempDir(), fmt.Sprintf("c%d", i), addrs)))
	}
	lead := leaderOf(t, all)
	f := fake(t, lead, "a")
	id := create(t, lead, request(1))
	f.finish(lead, f.told())
	want := untilState(t, lead, id, job.Completed)

	var rest []*Coordinator
	for _, c := range all {
		if c == lead {
			continue
		}
		rest = append(rest, c)
		eventually(t, "a follower has the job", func() bool {
			r, ok := c.fsm.get(id)
			return ok && r.State == job.Completed
		})
		var e *NotLeaderError
		_, err := c.Create(ctx, request(1))
		if !errors.As(err, &e) || !errors.Is(err, ErrNotLeader) || e.HTTP != "http://"+lead.cfg.ID {
			t.Fatalf("a follower says %v", err)
		}
	}
	f.leave()
	closed(t, lead)
	next := leaderOf(t, rest)
	v, err := next.Get(ctx, id)
	if err != nil || v.State != job.Completed || v.Result.Video != want.Result.Video {
		t.Fatalf("after the leader is gone: %+v, %v", v, err)
	}
	eventually(t, "the object outlives the leader", func() bool {
		r, err := next.Open(ctx, v.Result.Video)
		if err == nil {
			r.Close()
		}
		return err == nil
	})
	f.join(next)
	create(t, next, request(1))
	f.told()
}
