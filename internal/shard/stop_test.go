package shard

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

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
	e, err := NewEngine(e.folder, Devices{dev, dev}, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	small := huge()
	small.Width, small.Height, small.Steps = 64, 64, 1
	one := job.Mesh{CFG: 1, Ulysses: 1}
	before, _ := generate(t, []*Engine{e}, inMemory(t, 1), small, one)

	why, layers := errors.New("enough"), 0
	err = run1(t, e, huge(), func(k *Rank, stop func(error)) {
		k.Alive = func(float64) { layers++ }
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
func run1(t *testing.T, e *Engine, s job.Spec, set func(k *Rank, stop func(error))) error {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	k := &Rank{TempDir: t.TempDir(), Transport: inMemory(t, 1)[0], Objects: artifact.NewMemory(),
		Plan: job.Plan{Job: "video_test", Attempt: 1, Spec: s, Mesh: job.Mesh{CFG: 1, Ulysses: 1},
			Nodes: make([]job.NodeID, 1)}}
	set(k, cancel)
	_, err := e.Run(ctx, k)
	return err
}

// TestEveryStageStops stops a rank at the beginning of each stage: nothing comes of it.
func TestEveryStageStops(t *testing.T) {
	e := engine(t, 1, "testdata", "golden", "tiny3")
	s := huge()
	s.Width, s.Height, s.Steps = 128, 96, 1
	for _, stage := range []job.Stage{job.StageDenoise, job.StageDecode, job.StageEncode} {
		err := run1(t, e, s, func(k *Rank, stop func(error)) {
			k.Progress = func(p job.Progress) {
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
	r := &run{Rank: &Rank{Plan: job.Plan{Spec: job.Spec{Steps: 30, GuidanceScale: 4},
		Mesh: job.Mesh{CFG: 1, Ulysses: 1}}}}
	r.layout.Mesh.CFG, r.layout.Mesh.Ulysses, r.layout.Frames = 1, 1, 3
	var told []job.Progress
	r.Progress = func(p job.Progress) { told = append(told, p) }
	layer := r.layers(0)
	r.within.begun = time.Now().Add(-time.Minute)
	for _, part := range []float64{0.25, 0.5} {
		r.within.told = time.Time{}
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

// TestShardsServeAgainAfterAHugeJob cancels a clip that a step of takes minutes, after one of its
// shards was taken out by force: both are there afterwards, and make the clip that they made before.
func TestShardsServeAgainAfterAHugeJob(t *testing.T) {
	k := startCluster(t, 2, ownServers)
	r := request(5, 2, 2, job.Mesh{})
	latents := k.calm(r)
	wide, high, frames := 1024, 720, 33
	big := r
	big.Width, big.Height, big.Frames, big.Force = &wide, &high, &frames, true
	for _, drain := range []bool{false, true} {
		id := k.create(big)
		k.await(id, denoising)
		if drain {
			if _, err := k.c.DrainNode(t.Context(), "s0", 0); err != nil {
				t.Fatal(err)
			}
			k.await(id, func(v coord.View) bool { return v.Attempt == 2 && denoising(v) })
		}
		if _, err := k.c.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if v := k.await(id, never); v.State != job.Cancelled {
			t.Fatalf("the job is %s: %s", v.State, v.Error)
		}
		if drain {
			if _, err := k.c.UndrainNode(t.Context(), "s0"); err != nil {
				t.Fatal(err)
			}
		}
		k.completed(k.create(r), latents)
	}
	for _, s := range k.shards {
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	}
}

// journal is a log that is read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// TestARankThatReturnsLateIsNoLoss has a rank that was told to stop return after the shard said
// ERROR, and another one not at all: that shard ends, and says why at ERROR too.
func TestARankThatReturnsLateIsNoLoss(t *testing.T) {
	for _, returns := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var errs journal
			log := slog.New(slog.NewTextHandler(&errs, &slog.HandlerOptions{Level: slog.LevelError}))
			s := &Shard{log: log, cfg: Config{Name: "s"}}
			s.ctx, s.stop = context.WithCancel(t.Context())
			w := &work{returned: make(chan struct{})}
			go s.fence(w)
			time.Sleep(2 * fenceAfter)
			synctest.Wait()
			if n := strings.Count(errs.text(), "level=ERROR"); n != 1 || s.Err() != nil {
				t.Errorf("%d errors are told, the shard ends with %v", n, s.Err())
			}
			if returns {
				close(w.returned)
			}
			time.Sleep(fenceFactor * fenceAfter)
			synctest.Wait()
			said := strings.Contains(errs.text(), "the shard ends")
			if ended := s.Err() != nil; ended == returns || ended != said {
				t.Errorf("returned %v: the shard ends with %v: %s", returns, s.Err(), errs.text())
			}
			s.stop()
		})
	}
}

// TestWhatDoesNotFitIsRefused wants a rank to say what it needs before it computes anything.
func TestWhatDoesNotFitIsRefused(t *testing.T) {
	e := engine(t, 1, "testdata", "golden", "tiny3")
	err := run1(t, e, huge(), func(k *Rank, _ func(error)) {
		k.Room = 1 << 20
		k.Alive = func(float64) { t.Error("it computes") }
	})
	if err == nil || !strings.Contains(err.Error(), "GiB of memory") {
		t.Errorf("the rank ends with %v", err)
	}
}

// TestRateIsSane measures a device, and how long a clip takes by that.
func TestRateIsSane(t *testing.T) {
	e := engine(t, 1, "models", "demo")
	speed := rate(e.dev.Main, e.dit.FeedForward())
	if speed < 1e6 || speed > 1e14 {
		t.Errorf("%g operations a second", speed)
	}
	var first job.Progress
	err := run1(t, e, huge(), func(k *Rank, stop func(error)) {
		k.Speed = 1e9
		k.Progress = func(p job.Progress) {
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

// TestLoadingStops has weights be loaded in another type, which is not wanted any more, and then is.
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

// TestALayerThatTakesLongIsNoHang looks at a rank whose device works on one operation.
func TestALayerThatTakesLongIsNoHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := &slow{}
		var a activity
		a.advances()
		for range 10 {
			time.Sleep(time.Minute)
			dev.done++
			a.watch(dev, dev)
			if d := a.computing(); d > 0 {
				t.Fatalf("it hangs since %v", d)
			}
		}
		time.Sleep(time.Minute)
		a.watch(dev, dev)
		if d := a.computing(); d != time.Minute {
			t.Errorf("a device that does nothing any more hangs since %v", d)
		}
	})
}

// slow is a device that says how far it is.
type slow struct {
	compute.Device
	done uint64
}

func (s *slow) Progress() uint64 { return s.done }

// TestRoomIsShared among the shards of a process, and is less than the machine has.
func TestRoomIsShared(t *testing.T) {
	total := machineMemory()
	if total == 0 {
		t.Skip("this machine does not tell its memory")
	}
	one, two := room(1), room(2)
	if one < 1 || one >= total || two > one*3/5 {
		t.Errorf("one shard has %d bytes of %d, one of two %d", one, total, two)
	}
}
