package coord

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/coord/wire"
)

// TestAResultIsOfTheFormatThatWasAskedFor hands in a page in place of a clip.
func TestAResultIsOfTheFormatThatWasAskedFor(t *testing.T) {
	c := start(t, config(t.TempDir()))
	f := fake(t, c, "a")
	id := create(t, c, request(1))
	s := f.told()
	res := stored(t, c, "x")
	res.ContentType = "text/html"
	a, err := ask[wire.Ack](f, wire.SubjectComplete, wire.Completion{Node: f.id, Job: id,
		Attempt: s.Plan.Attempt, Result: res})
	if err != nil || a.OK || !a.Final {
		t.Fatalf("%+v, %v", a, err)
	}
	if l := untilLost(t, c, id, 1); !l.Own || !strings.Contains(l.Reason, "content_type") {
		t.Fatalf("%+v", l)
	}
}
