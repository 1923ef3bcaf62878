package core

import (
	"errors"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// TestPreviewsOutliveTheirJobs ends more jobs than keep a preview: the last ones have theirs, until
// they are deleted.
func TestPreviewsOutliveTheirJobs(t *testing.T) {
	w := leads(t)
	w.join("a")
	var ids []job.ID
	for range previewsKept + 2 {
		id := w.create(2) // it waits
		w.k.lead.previews[id] = Preview{Step: 5, Data: []byte("webp")}
		if err := w.k.Cancel(id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		w.clock, w.today = w.clock.Add(1), w.today.Add(1)
	}
	w.tick()
	for i, id := range ids {
		p, err := w.k.Preview(id)
		if kept := i >= 2; kept != (err == nil) || kept != (p.Step == 5) ||
			!kept && !errors.Is(err, ErrNotFound) {
			t.Errorf("job %d of %d: %+v, %v", i, len(ids), p, err)
		}
	}

	last := ids[len(ids)-1]
	if err := w.k.Delete(last); err != nil {
		t.Fatal(err)
	}
	w.tick()
	if _, err := w.k.Preview(last); !errors.Is(err, ErrNotFound) {
		t.Errorf("of a deleted job: %v", err)
	}
}
