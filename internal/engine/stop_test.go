package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// patience is how long a test waits before it says that something hangs.
const patience = time.Minute

// huge is a picture, of which the demo makes one layer in a good part of a second.
func huge() job.Spec {
	return job.Spec{Prompt: "a red ball", Width: 1280, Height: 720, Frames: 1, FPS: 16, Steps: 30,
		GuidanceScale: 4, FlowShift: 3, Scheduler: "unipc", Seed: 7, DType: "fp32",
		Format: string(media.PNG)}
}

// eventful is a device that tells of attention over many keys.
type eventful struct {
	*cpu.Device
	attends func()
}

// Attention implements compute.Device.
func (d *eventful) Attention(dst, q, k, v compute.Mat, a compute.AttentionArgs) {
	if k.Rows > 1000 {
		d.attends()
	}
	d.Device.Attention(dst, q, k, v, a)
}

// TestARankStopsWithinALayer stops a rank at the first attention of its first step, and wants
// neither that attention nor a layer; the engine then makes the clip that it makes otherwise, in
// memory that held half a result.
func TestARankStopsWithinALayer(t *testing.T) {
	e := engine(t, 2, "models", "demo")
	dev := &eventful{Device: e.dev.Main.(*cpu.Device), attends: func() {}}
	e, err := New(e.folder, Devices{dev, dev}, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	small := huge()
	small.Width, small.Height, small.Steps = 64, 64, 1
	one := job.Mesh{CFG: 1, Ulysses: 1}
	before, _ := generate(t, []*Engine{e}, inMemory(t, 1), small, one)

	why, layers := errors.New("enough"), 0
	err = run1(t, e, huge(), func(k *testRank, stop func(error)) {
		k.computed = func(float64) { layers++ }
		dev.attends = func() {
			stop(why)
			for end := time.Now().Add(patience); dev.Sync() == nil; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the device was not told to stop")
				}
			}
		}
	})
	if !errors.Is(err, why) || layers > 0 {
		t.Errorf("%d layers were done: %v", layers, err)
	}
	after, _ := generate(t, []*Engine{e}, inMemory(t, 1), small, one)
	if after.LatentsSHA256 != before.LatentsSHA256 || after.Video != before.Video {
		t.Errorf("latents %.12s after the stop, %.12s before", after.LatentsSHA256, before.LatentsSHA256)
	}
}

// run1 runs a clip's only rank, set up by set, which gets what ends its context.
func run1(t *testing.T, e *Engine, s job.Spec, set func(k *testRank, stop func(error))) error {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	k := &testRank{Assignment: Assignment{TempDir: t.TempDir(), Transport: inMemory(t, 1)[0],
		Objects: artifact.NewMemory(),
		Plan: job.Plan{Job: "video_test", Attempt: 1, Spec: s, Mesh: job.Mesh{CFG: 1, Ulysses: 1},
			Nodes: make([]job.NodeID, 1)}}}
	set(k, cancel)
	_, err := k.run(ctx, e)
	return err
}

// TestEveryStageStops stops a rank at the beginning of each stage: nothing comes of it.
func TestEveryStageStops(t *testing.T) {
	e := engine(t, 1, "testdata", "golden", "tiny3")
	s := huge()
	s.Width, s.Height, s.Steps = 128, 96, 1
	for _, stage := range []job.Stage{job.StageDenoise, job.StageDecode, job.StageEncode} {
		err := run1(t, e, s, func(k *testRank, stop func(error)) {
			k.progress = func(p job.Progress) {
				if p.Stage == stage {
					stop(ErrCancelled)
				}
			}
		})
		if !errors.Is(err, ErrCancelled) {
			t.Errorf("stopped at %s the rank ends with %v", stage, err)
		}
	}
}

// TestALongStepTellsHowFarItIs wants progress, and how long it will take, before the first step is
// done.
func TestALongStepTellsHowFarItIs(t *testing.T) {
	h := &testHost{}
	r := (*Engine)(nil).newRun(Assignment{Plan: job.Plan{Spec: job.Spec{Steps: 30, GuidanceScale: 4},
		Mesh: job.Mesh{CFG: 1, Ulysses: 1}}}, h)
	r.layout.Mesh.CFG, r.layout.Mesh.Ulysses, r.layout.Frames = 1, 1, 3
	var told []job.Progress
	h.progress = func(p job.Progress) { told = append(told, p) }
	layer := r.layerProgress(0)
	r.inStep.begun = time.Now().Add(-time.Minute)
	for _, part := range []float64{0.25, 0.5} {
		r.inStep.reported = time.Time{}
		layer(part)
	}
	layer(0.75)                                                      // too soon
	if len(told) != 2 || told[1].Part != 0.25 || told[1].Done != 0 { // of the first of two branches
		t.Fatalf("told %+v", told)
	}
	want := 4 * time.Minute * 119 / 4 // 30 steps of 4 minutes, a quarter of the first one done
	if got := told[1].ETA; got < want || got > want+want/10 {
		t.Errorf("%v are left, want %v", got, want)
	}
}

// TestWhatDoesNotFitIsRefused wants a rank to say what it needs before it computes anything.
func TestWhatDoesNotFitIsRefused(t *testing.T) {
	e := engine(t, 1, "testdata", "golden", "tiny3")
	err := run1(t, e, huge(), func(k *testRank, _ func(error)) {
		k.MemoryMax = 1 << 20
		k.computed = func(float64) { t.Error("it computes") }
	})
	if err == nil || !strings.Contains(err.Error(), "GiB of memory") {
		t.Errorf("the rank ends with %v", err)
	}
}

// TestAForecastBeforeTheFirstLayer follows from the speed of the device.
func TestAForecastBeforeTheFirstLayer(t *testing.T) {
	e := engine(t, 1, "models", "demo")
	var first job.Progress
	err := run1(t, e, huge(), func(k *testRank, stop func(error)) {
		k.Speed = 1e9
		k.progress = func(p job.Progress) {
			if p.Stage == job.StageDenoise {
				first = p
				stop(ErrCancelled)
			}
		}
	})
	pass := e.dit.Work(3600) // of 1280x720, in two branches and 30 steps
	want := time.Duration(60 * pass / 1e9 * float64(time.Second))
	if !errors.Is(err, ErrCancelled) || first.ETA < want-time.Second || first.ETA > want+time.Second {
		t.Errorf("%v are left before the first layer, want %v: %v", first.ETA, want, err)
	}
}

// TestLoadingStops has weights be loaded in another type, which is not wanted any more, and then
// is.
func TestLoadingStops(t *testing.T) {
	e := engine(t, 1, "testdata", "golden", "tiny3")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrCancelled)
	if err := e.Use(ctx, compute.BF16); !errors.Is(err, ErrCancelled) {
		t.Errorf("loading ends with %v", err)
	}
	if err := e.Use(t.Context(), compute.BF16); err != nil || e.text == nil || e.dit == nil {
		t.Errorf("loaded again: %v", err)
	}
}
