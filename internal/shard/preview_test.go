package shard

import (
	"testing"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// TestAPreviewOfARunningClip asks a coordinator for one before, while and after a clip is made.
func TestAPreviewOfARunningClip(t *testing.T) {
	k := startCluster(t, 2, ownServers)
	k.gate.hold(3)
	id := k.create(request(9, 12, 0, job.Mesh{}))
	v := k.await(id, func(v coord.View) bool { return v.PreviewStep > 0 || v.State.Final() })
	p, err := k.c.Preview(t.Context(), id)
	if err != nil || !media.IsAnimation(p.Data) || p.Step < 1 || v.PreviewStep < 1 {
		t.Errorf("%d bytes of step %d, %v; %+v", len(p.Data), p.Step, err, v)
	}
	k.gate.open()
	if v := k.await(id, never); v.State != job.Completed {
		t.Fatalf("%s: %s", v.State, v.Error)
	}
	if last, err := k.c.Preview(t.Context(), id); err != nil || last.Step < p.Step {
		t.Errorf("of a completed job, the preview of step %d: %v", last.Step, err)
	}
	if _, err := k.c.Preview(t.Context(), "video_x"); err == nil {
		t.Error("an unknown job has a preview")
	}
}
