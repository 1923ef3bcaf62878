package coord

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/freeport"
	"github.com/longtake/longtake/internal/job"
)

// ports finds free ports, two for each coordinator: Raft's, then NATS routes'.
func ports(n int) []string { return freeport.Addrs(2 * n) }

// member configures one of the coordinators c0, c1 and so on.
func member(dir, id string, addrs []string) Config {
	cfg := testConfig(dir)
	cfg.ID = id
	cfg.Timing.Election = 400 * time.Millisecond
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
			if c.leads() && c.Ready(context.Background()) == nil {
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
			r, ok := record(c, id)
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

// three starts c0, c1 and c2 and returns them with the leader first.
func three(t *testing.T, edit func(*Config)) ([]*Coordinator, []string) {
	t.Helper()
	addrs := ports(4)
	var all []*Coordinator
	for i := range 3 {
		cfg := member(t.TempDir(), fmt.Sprintf("c%d", i), addrs[:6])
		edit(&cfg)
		all = append(all, start(t, cfg))
	}
	lead := leaderOf(t, all)
	slices.SortStableFunc(all, func(a, b *Coordinator) int {
		switch lead {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	return all, addrs
}

// TestMembersComeAndGo hands the leadership over, adds a fourth coordinator, and removes one.
func TestMembersComeAndGo(t *testing.T) {
	ctx := context.Background()
	all, addrs := three(t, patient)
	lead := all[0]
	f := fake(t, lead, "a")
	id := create(t, lead, request(1))
	f.finish(lead, f.told())
	untilState(t, lead, id, job.Completed)
	f.leave()

	var key string
	eventually(t, "a key is made", func() (ok bool) { // once all are known to be of this version
		_, text, err := lead.CreateKey(ctx, access.Key{Name: "a", Scopes: access.AllScopes})
		key = text
		return err == nil
	})

	cfg := member(t.TempDir(), "c3", addrs)
	cfg.Raft.Join = true
	fourth := start(t, cfg)
	s, err := lead.AddMember(ctx, Peer{ID: "c3", Raft: addrs[6], HTTP: "http://added"})
	if err != nil || len(s.Members) != 4 {
		t.Fatalf("%+v, %v", s.Members, err)
	}
	eventually(t, "the added one knows the job and has the objects", func() bool {
		_, ok := record(fourth, id)
		return ok && fourth.Ready(ctx) == nil
	})
	eventually(t, "the added one votes", func() bool {
		s, err := lead.Status(ctx)
		return err == nil && len(s.Members) == 4 && s.Members[3].Voter
	})
	gone := all[1]
	if s, err = lead.RemoveMember(ctx, gone.cfg.ID, false); err != nil || len(s.Members) != 3 {
		t.Fatalf("%+v, %v", s.Members, err)
	}
	if _, err := lead.TransferLeader(ctx, "c3"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the added one leads", func() bool { return fourth.leads() })
	var e *NotLeaderError
	if _, err := lead.Get(ctx, id); !errors.As(err, &e) || e.HTTP != "http://added" {
		t.Errorf("the old leader says %v", err)
	}
	if p, err := fourth.Admit(ctx, key); err != nil || p.Name != "a" {
		t.Errorf("the new leader knows the key: %+v, %v", p, err)
	}
	if v, err := fourth.Get(ctx, id); err != nil || v.State != job.Completed {
		t.Errorf("%+v, %v", v, err)
	}
	for what, err := range map[string]error{
		"leader":    second(fourth.RemoveMember(ctx, "c3", false)),
		"not found": second(fourth.RemoveMember(ctx, "c9", false)),
		"host:port": second(fourth.AddMember(ctx, Peer{ID: "x", Raft: "nowhere"})),
		"letters":   second(fourth.AddMember(ctx, Peer{ID: "x y", Raft: "h:1"})),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v; want %q in it", err, what)
		}
	}
}

func second(_ Status, err error) error { return err }

// TestASnapshotBringsBackWhatWasDecided saves, does more, and restores, on one coordinator and on
// another cluster.
func TestASnapshotBringsBackWhatWasDecided(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	f.finish(c, f.told())
	untilState(t, c, id, job.Completed)
	var saved bytes.Buffer
	if err := c.SaveSnapshot(ctx, &saved); err != nil {
		t.Fatal(err)
	}
	later := create(t, c, request(3))
	for _, to := range []*Coordinator{c, start(t, testConfig(t.TempDir()))} {
		if err := to.RestoreSnapshot(ctx, bytes.NewReader(saved.Bytes())); err != nil {
			t.Fatal(err)
		}
		if v, err := to.Get(ctx, id); err != nil || v.State != job.Completed {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := to.Get(ctx, later); !errors.Is(err, ErrNotFound) {
			t.Errorf("what came after the snapshot: %v", err)
		}
	}
	other := bytes.ReplaceAll(saved.Bytes(), []byte(demo().Fingerprint), []byte("f9"))
	for _, bad := range []string{"", "{", `{"v":99}`, string(other)} {
		if err := c.RestoreSnapshot(ctx, strings.NewReader(bad)); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}
