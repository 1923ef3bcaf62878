package coord

import (
	"context"
	"errors"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// TestPreviewsOutliveTheirJobs ends more jobs than keep a preview: the last ones have theirs, until
// they are deleted.
func TestPreviewsOutliveTheirJobs(t *testing.T) {
	ctx := context.Background()
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a")
	eventually(t, "it leads", func() bool { return c.lead.Load() != nil })
	l := c.lead.Load()
	var ids []job.ID
	for range previewsKept + 2 {
		r := request(1)
		r.Shards = 2 // it waits
		id := create(t, c, r)
		l.mu.Lock()
		l.previews[id] = Preview{Step: 5, Data: []byte("webp")}
		l.mu.Unlock()
		if _, err := c.Cancel(ctx, id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	l.forget()
	for i, id := range ids {
		p, err := c.Preview(ctx, id)
		if kept := i >= 2; kept != (err == nil) || kept != (p.Step == 5) ||
			!kept && !errors.Is(err, ErrNotFound) {
			t.Errorf("job %d of %d: %+v, %v", i, len(ids), p, err)
		}
	}
	last := ids[len(ids)-1]
	if err := c.Delete(ctx, last); err != nil {
		t.Fatal(err)
	}
	l.forget()
	if _, err := c.Preview(ctx, last); !errors.Is(err, ErrNotFound) {
		t.Errorf("of a deleted job: %v", err)
	}
}
