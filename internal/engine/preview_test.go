package engine

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/underrace"
)

// TestPreviewsCome counts those of an attempt: the first checkpoint's, then one in every few, and
// the last.
func TestPreviewsCome(t *testing.T) {
	// Rank 0 alone makes previews, beside its computation: the mesh changes nothing.
	for _, m := range underrace.Some(partMeshes, 1) {
		a := newAttempts(t, m)
		a.plan.Spec.Steps, a.plan.CheckpointEvery, a.plan.PreviewEvery = 6, 1, 2
		var steps []int
		a.preview = func(_ context.Context, step int, data []byte) error {
			if !media.IsAnimation(data) {
				t.Errorf("step %d: %.20q", step, data)
			}
			steps = append(steps, step)
			return nil
		}
		if a.run(); len(steps) == 0 || steps[0]%2 != 1 && steps[0] != 6 || len(a.notes) > 0 {
			t.Errorf("previews of steps %v, notes %v", steps, a.notes)
		}
		a.plan.CheckpointEvery, steps, a.parts = 0, nil, nil
		if a.run(); len(steps) > 0 {
			t.Errorf("without checkpoints there were previews of steps %v", steps)
		}
	}
}

// TestPreviewsRest wants none between the first and the last of a clip that takes less than
// previewRatio times what one of them takes.
func TestPreviewsRest(t *testing.T) {
	a := newAttempts(t, job.Mesh{CFG: 1, Ulysses: 1})
	a.plan.Spec.Steps, a.plan.CheckpointEvery, a.plan.PreviewEvery = 12, 1, 1
	var steps []int
	a.preview = func(_ context.Context, step int, _ []byte) error {
		steps = append(steps, step)
		return nil
	}
	if a.run(); len(steps) == 0 || len(steps) > 2 || len(steps) == 2 && steps[1] != 12 {
		t.Errorf("previews of steps %v; want one, and the last step's", steps)
	}
}

// TestPreviewsFollowAClip: of a clip of some seconds there is one a second or so, whose steps grow,
// and the last one; what they take is bounded.
func TestPreviewsFollowAClip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const steps, step, cost = 20, 600 * time.Millisecond, 30 * time.Millisecond
		ctx, stop := context.WithCancel(t.Context())
		p := &previewer{ctx: ctx, offered: make(chan savedState, 1), r: &run{Assignment: Assignment{
			Plan: job.Plan{Spec: job.Spec{Steps: steps}}}}}
		var shown []int
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.run(func(k savedState) time.Duration {
				time.Sleep(cost)
				shown = append(shown, k.step)
				return cost
			})
		}()
		for i := range steps {
			time.Sleep(step)
			select {
			case <-p.offered:
			default:
			}
			p.offered <- savedState{step: i + 1}
		}
		time.Sleep(cost)
		synctest.Wait()
		stop()
		<-done
		if n := len(shown); n < steps/2-1 || time.Duration(n-1)*cost > steps*step/(previewRatio-2) ||
			shown[0] != 1 || shown[n-1] != steps || !slices.IsSorted(shown) {
			t.Errorf("previews of steps %v", shown)
		}
	})
}
