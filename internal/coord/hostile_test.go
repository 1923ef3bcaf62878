package coord

import (
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/wire"
)

// TestAResultIsOfTheFormatThatWasAskedFor hands in a page in place of a clip.
func TestAResultIsOfTheFormatThatWasAskedFor(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	s := f.told()
	res := stored(t, c, "x")
	res.ContentType = "text/html"
	a, err := ask[wire.Ack](f, wire.SubjectComplete, wire.Completion{Node: f.id, Work: wire.Work{Job: id,
		Attempt: s.Plan.Attempt}, Result: res})
	if err != nil || a.OK || !a.Final {
		t.Fatalf("%+v, %v", a, err)
	}
	if l := untilLost(t, c, id, 1); !l.Own || !strings.Contains(l.Reason, "content_type") {
		t.Fatalf("%+v", l)
	}
}

// TestWhoRegistersFirstDoesNotFixTheModel registers a stranger's model. Another one takes its place
// once nobody has it and no job needs it, and not before.
func TestWhoRegistersFirstDoesNotFixTheModel(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Timing.Grace = time.Millisecond
	c := start(t, cfg)
	stranger := func(r *wire.Registration) { r.Model.Name, r.Model.Fingerprint = "strange", "w2-s" }
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
	if m, ok := c.Model(t.Context()); !ok || m.Name != "demo" {
		t.Fatalf("%+v", m)
	}
	if _, err := c.Retry(t.Context(), id); err == nil {
		t.Error("a job of the model that is gone is done again")
	}
	create(t, c, request(1))
	b.told()
}
