package coord

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/testlog"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

func TestAnotherModelIsRefused(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a")
	f := newFake(t, "b", func(r *wire.Registration) { r.Model.Fingerprint = "f2" })
	f.join(c)
	if w := f.register(); w.Accepted || !w.Final || !strings.Contains(w.Reason, "f2") {
		t.Fatalf("%+v", w)
	}
	if w, err := ask[wire.Welcome](f, wire.SubjectRegister, "nonsense"); err != nil || w.Accepted ||
		!w.Final {
		t.Fatalf("%+v, %v", w, err)
	}
}

func TestAnotherArithmeticIsRefusedWhileThereAreNodes(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a", func(r *wire.Registration) { r.Arithmetic = "avx512" })
	b := newFake(t, "b", func(r *wire.Registration) { r.Arithmetic = "avx2" })
	b.join(c)
	w := b.register()
	for _, want := range []string{"avx512", "avx2", "LONGTAKE_CPU"} {
		if w.Accepted || w.Final || !strings.Contains(w.Reason, want) {
			t.Fatalf("%+v does not say %q", w, want)
		}
	}
	fake(t, c, "c", func(r *wire.Registration) { r.Arithmetic = "avx512" })
}

// TestNodesOfOneRoute: shards of one process share a route and stay; a new process at the route
// takes the place of all of them.
func TestNodesOfOneRoute(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	at := func(process string) func(*wire.Registration) {
		return func(r *wire.Registration) { r.Route, r.ProcessID = "nats-route://host:1", process }
	}
	first, second := fake(t, c, "a", at("one")), fake(t, c, "b", at("one"))
	there := func(want ...job.NodeID) {
		t.Helper()
		nodes, err := c.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []job.NodeID
		for _, n := range nodes {
			got = append(got, n.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%v are there, want %v", got, want)
		}
	}
	there("a", "b")
	first.leave()
	second.leave()
	fake(t, c, "c", at("two"))
	there("c")
}

// TestWhoRegistersFirstDoesNotFixTheModel registers a stranger's model. Another one of its name
// takes its place once nobody has it and no job needs it, and not before.
func TestWhoRegistersFirstDoesNotFixTheModel(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Timing.Grace = time.Millisecond
	c := start(t, cfg)
	stranger := func(r *wire.Registration) { r.Model.Fingerprint = "w2-s" }
	good := func(r *wire.Registration) { r.Model.Fingerprint = "w2-g" }
	a := fake(t, c, "a", stranger)
	r := request(2)
	id := create(t, c, r)
	b := newFake(t, "b", good)
	b.join(c)
	for range 2 {
		if w := b.register(); w.Accepted || !strings.Contains(w.Reason, "to change it") {
			t.Fatalf("%+v", w)
		}
		a.leave() // and its job waits still
		eventually(t, "the stranger is gone", func() bool {
			nodes, err := c.Nodes(t.Context())
			return err == nil && len(nodes) == 0
		})
	}
	if _, err := c.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if w := b.register(); !w.Accepted {
		t.Fatalf("%+v", w)
	}
	if m, err := c.Model(t.Context(), "demo"); err != nil || m.Fingerprint != "w2-g" {
		t.Fatalf("%+v, %v", m, err)
	}
	create(t, c, request(1))
	b.told()
}

// TestTheModelsNoticesAreLoggedOnce however many shards hold it.
func TestTheModelsNoticesAreLoggedOnce(t *testing.T) {
	var out testlog.Buffer
	cfg := testConfig(t.TempDir())
	cfg.Log = slog.New(slog.NewTextHandler(&out, nil))
	c := start(t, cfg)
	for _, id := range []string{"n1", "n2"} {
		fake(t, c, id, func(r *wire.Registration) { r.Model.Notices = []string{"a key was left out"} })
	}
	if n := out.Count("a key was left out"); n != 1 {
		t.Errorf("the notice is logged %d times", n)
	}
}

// TestANodeThatStopsSaysSo cancels a job whose rank takes its time.
func TestANodeThatStopsSaysSo(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	a := fake(t, c, "a")
	id := create(t, c, request(1))
	a.told()
	if _, err := c.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	// A heartbeat that left the node before its order arrived may come after it, and says idle.
	eventually(t, "a node that is stopping", func() bool {
		n, err := c.Nodes(t.Context())
		return err == nil && n[0].State == "stopping"
	})
}
