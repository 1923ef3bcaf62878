package engine

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// testRank is an assignment with a Host whose answers a test sets; what is nil does nothing.
type testRank struct {
	Assignment
	testHost
}

type testHost struct {
	progress       func(p job.Progress)
	warn           func(what string, err error)
	shouldYield    func() bool
	saveCheckpoint func(ctx context.Context, c job.Checkpoint) error
	keepPart       func(ctx context.Context, name string, o job.Object) error
	publish        func(ctx context.Context, step int, picture []byte) error
	computed       func(part float64)
}

// previewing is a testHost that is a Previewer as well.
type previewing struct{ *testHost }

// run runs the rank.
func (k *testRank) run(ctx context.Context, e *Engine) (job.Result, error) {
	if k.publish != nil {
		return e.Run(ctx, k.Assignment, previewing{&k.testHost})
	}
	return e.Run(ctx, k.Assignment, &k.testHost)
}

func (h *testHost) Progress(p job.Progress) {
	if h.progress != nil {
		h.progress(p)
	}
}

func (h *testHost) Warn(what string, err error) {
	if h.warn != nil {
		h.warn(what, err)
	}
}

func (h *testHost) ShouldYield() bool { return h.shouldYield != nil && h.shouldYield() }

func (h *testHost) SaveCheckpoint(ctx context.Context, c job.Checkpoint) error {
	if h.saveCheckpoint == nil {
		return nil
	}
	return h.saveCheckpoint(ctx, c)
}

func (h *testHost) KeepPart(ctx context.Context, name string, o job.Object) error {
	if h.keepPart == nil {
		return nil
	}
	return h.keepPart(ctx, name, o)
}

func (h *testHost) StoreFull(bool) bool { return false }

func (h *testHost) Computed(part float64) {
	if h.computed != nil {
		h.computed(part)
	}
}

func (h *testHost) Waiting() func() { return func() {} }

func (h *testHost) Measured(float64, time.Duration) {}

func (p previewing) PublishPreview(ctx context.Context, step int, picture []byte) error {
	return p.publish(ctx, step, picture)
}

// everyCheckpoint has rank 0 wait at each step boundary, and before it decodes, until the step's
// checkpoint is stored, and calls saved with it. Left to itself the computation goes on, and while
// one checkpoint is being stored, a later one replaces those that wait, and the end of the clip the
// last one: how many there are then depends on the machine. A causal clip's last may be missing.
func (k *testRank) everyCheckpoint(t testing.TB, saved func(job.Checkpoint)) {
	stored := make(chan struct{}, 2) // a causal clip's last one stays in it
	k.saveCheckpoint = func(_ context.Context, c job.Checkpoint) error {
		saved(c)
		stored <- struct{}{}
		return nil
	}
	k.warn = func(what string, err error) {
		t.Errorf("%s: %v", what, err)
		stored <- struct{}{}
	}
	k.shouldYield = func() bool {
		<-stored
		return false
	}
	var last sync.Once
	k.progress = func(p job.Progress) {
		if p.Stage == job.StageDecode && k.Plan.Spec.Causal == nil {
			last.Do(func() { <-stored })
		}
	}
}
