package coord

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/audit"
)

// asAnn is the context of a client's request.
func asAnn(t *testing.T) context.Context {
	return access.WithOrigin(access.With(t.Context(), access.Principal{ID: "key_a", Name: "ann"}),
		access.Origin{Addr: "10.0.0.1:5", Request: "req_1"})
}

// auditFiles is all that the files of a coordinator have, which must be a chain.
func auditFiles(t *testing.T, dir string) (string, []audit.Entry) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "audit", "audit-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	var v audit.Verifier
	var entries []audit.Entry
	for line := range bytes.Lines(all) {
		e, err := v.Next(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		entries = append(entries, e)
	}
	return string(all), entries
}

// sameAudit waits until all have the entries of the leader, and returns what was done, in order.
func sameAudit(t *testing.T, lead *Coordinator, all ...*Coordinator) (did []string) {
	t.Helper()
	want, err := lead.AuditStatus(t.Context())
	if err != nil || want.Head != want.Files.Last {
		t.Fatalf("the leader is at %+v, %v", want, err)
	}
	text, entries := auditFiles(t, lead.cfg.Data)
	for _, c := range all {
		eventually(t, c.cfg.ID+" has the entries of the leader", func() bool {
			s, err := c.AuditStatus(t.Context())
			return err == nil && s.Files.Last == want.Head && s.Head == want.Head
		})
		if got, _ := auditFiles(t, c.cfg.Data); got != text {
			t.Errorf("%s has\n%s\nthe leader\n%s", c.cfg.ID, got, text)
		}
	}
	for _, e := range entries {
		did = append(did, e.Action+" "+e.Outcome)
	}
	return did
}

// TestAuditOfThreeCoordinators wants one chain on all of them: over a change of leader, a restart,
// a snapshot that is restored, and refusals on a follower.
func TestAuditOfThreeCoordinators(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for elections of three coordinators")
	}
	all, _ := three(t, func(*Config) {})
	lead, ctx := all[0], asAnn(t)
	fake(t, lead, "n1")
	eventually(t, "all coordinators are known to have an audit log", func() bool {
		s, err := lead.AuditStatus(ctx)
		return err == nil && s.Head.Seq > 0
	})
	create := func(c *Coordinator) {
		t.Helper()
		if _, err := c.Create(ctx, request(1)); err != nil {
			t.Fatal(err)
		}
	}
	create(lead)
	for range 3 {
		all[1].Refused(ctx, "video.create", "forbidden")
	}
	eventually(t, "the leader has written down what a follower refused", func() bool {
		text, _ := auditFiles(t, lead.cfg.Data)
		return strings.Contains(text, `"coordinator":"`+all[1].cfg.ID+`","count":"3"`)
	})
	did := sameAudit(t, lead, all[1:]...)
	if !slices.Equal(did, []string{"audit.begin ok", "video.create ok", "video.create refused"}) {
		t.Errorf("entries %q", did)
	}

	// The leader goes, and comes back when others have gone on.
	closed(t, lead)
	next := leaderOf(t, all[1:])
	fake(t, next, "n2")
	create(next)
	back := start(t, lead.cfg)
	sameAudit(t, next, append(all[1:], back)...)

	var saved bytes.Buffer
	if err := next.SaveSnapshot(ctx, &saved); err != nil {
		t.Fatal(err)
	}
	create(next)
	if err := next.RestoreSnapshot(ctx, &saved); err != nil {
		t.Fatal(err)
	}
	did = sameAudit(t, next, append(all[1:], back)...)
	want := []string{"video.create ok", "snapshot.save ok", "video.create ok",
		"snapshot.restore started", "snapshot.restore ok"}
	if len(did) < len(want) || !slices.Equal(did[len(did)-len(want):], want) {
		t.Errorf("entries %q", did)
	}
	if err := back.RestoreSnapshot(ctx, bytes.NewReader(nil)); err == nil {
		t.Error("a follower restores")
	}
}

// TestAuditAfterCrash cuts the file of a coordinator, as a crash may that comes before the file is
// on the disk: it derives the entries again from Raft's log. What a snapshot covers is on the disk.
func TestAuditAfterCrash(t *testing.T) {
	cfg := testConfig(t.TempDir())
	c := start(t, cfg)
	ctx := asAnn(t)
	fake(t, c, "n1")
	for range 3 {
		if _, err := c.Create(ctx, request(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.cons.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	covered, _ := auditFiles(t, cfg.Data)
	for range 2 {
		if _, err := c.Create(ctx, request(1)); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, c)
	want, entries := auditFiles(t, cfg.Data)
	if len(entries) < 6 {
		t.Fatalf("%d entries", len(entries))
	}

	path := filepath.Join(cfg.Data, "audit", fmt.Sprintf("audit-%020d.jsonl", 1))
	for _, size := range []int{len(covered), len(covered) + 30, len(want) - 1} {
		if err := os.Truncate(path, int64(size)); err != nil {
			t.Fatal(err)
		}
		c = start(t, cfg)
		eventually(t, "it is where it was", func() bool {
			s, err := c.AuditStatus(t.Context())
			return err == nil && s.Files.Last.Seq >= uint64(len(entries)) && s.Head == s.Files.Last
		})
		closed(t, c)
		if got, _ := auditFiles(t, cfg.Data); got != want {
			t.Fatalf("cut to %d bytes it has\n%s\nwant\n%s", size, got, want)
		}
	}
}

// TestAuditHoldsSnapshotsBack wants Raft's log to stay while the audit's entries are not written.
func TestAuditHoldsSnapshotsBack(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "n1")
	dir := filepath.Join(c.cfg.Data, "audit")
	if err := c.audit.files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(asAnn(t), request(1)); err != nil {
		t.Fatal(err)
	}
	if err := c.cons.raft.Snapshot().Error(); err == nil {
		t.Error("a snapshot is taken of what is not written down")
	}
	if s, err := c.AuditStatus(t.Context()); err != nil || s.Files.Problem == "" {
		t.Errorf("%+v, %v", s, err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := c.cons.raft.Snapshot().Error(); err != nil {
		t.Error(err)
	}
	if _, entries := auditFiles(t, c.cfg.Data); len(entries) < 2 {
		t.Errorf("%d entries are written", len(entries))
	}
}

// TestRefusalsCannotFillTheAuditLog refuses far more than is told apart: entries come in a burst
// and then as time allows, and the rest is counted.
func TestRefusalsCannotFillTheAuditLog(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	later := time.Now().Add(time.Hour) // the coordinator's own ticks are before that
	written := func(at time.Duration) (n uint64) {
		c.event(func() { // in which no tick writes some of them down
			for i := range 1000 {
				c.audit.refuse(refusal{action: "request", reason: strconv.Itoa(i)}, 1)
			}
			before := c.core.Machine().AuditHead().Seq
			c.noteRefused(later.Add(at))
			n = c.core.Machine().AuditHead().Seq - before
		})
		return n
	}
	for at, want := range []uint64{refusedMax, 0, 1, 0, 1} {
		if n := written(time.Duration(at) * time.Second); n != want {
			t.Errorf("%d entries after %d s; want %d", n, at, want)
		}
	}
	for addr, want := range map[string]string{"10.0.0.1:5": "10.0.0.1", "x": "x", "": "",
		"[2001:db8::17]:5": "2001:db8::/64", "::ffff:10.0.0.1": "::ffff:10.0.0.1"} {
		if got := site(site(addr)); got != want {
			t.Errorf("%q is at %q; want %q", addr, got, want)
		}
	}
}
