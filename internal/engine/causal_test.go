package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/underrace"
)

// causalSpec reads the parameters of a golden of a causal clip.
func causalSpec(g *golden.File) job.Spec {
	s := job.Spec{FPS: 16, DType: "fp32", Format: "png", GuidanceScale: 1, Long: job.LongCausal}
	c, size := &job.Causal{}, [2]int{}
	g.Meta("prompt", &s.Prompt)
	g.Meta("seed", &s.Seed)
	g.Meta("size", &size)
	g.Meta("blocks", &s.Blocks)
	g.Meta("block", &c.Block)
	g.Meta("window", &c.Window)
	g.Meta("sink", &c.Sink)
	g.Meta("timesteps", &c.Timesteps)
	g.Meta("shift", &c.Shift)
	g.Meta("warp", &c.Warp)
	s.Width, s.Height, s.Frames = size[0], size[1], 4*(s.Blocks*c.Block-1)+1
	s.Steps, s.FlowShift, s.Window, s.Causal = len(c.Timesteps), c.Shift, c.Window, c
	return s
}

func TestCausalClipsEqualTheReference(t *testing.T) {
	underrace.Skip(t, "one rank; clips of blocks on several are made below")
	for name, model := range map[string]string{"causal_sink": "tiny3", "causal_short": "tiny3",
		"causal_window": "tiny7"} {
		t.Run(name, func(t *testing.T) {
			g := golden.Open(t, name)
			e := engine(t, 2, "testdata", "golden", model)
			res, objects := generate(t, []*Engine{e}, inMemory(t, 1), causalSpec(g),
				job.Mesh{CFG: 1, Ulysses: 1})
			golden.Near(t, "latents", latentsOf(t, objects, res), g.Floats("latents"), 1e-5)
			if !slices.Contains(g.Names(), "frames") {
				return
			}
			got := frames(t, object(t, objects, res.Video))
			if p := golden.PSNR(got, g.Tensor("frames").Data); !(p >= 60) {
				t.Errorf("frames: PSNR %.1f dB is below 60", p)
			}
		})
	}
}

// tinyRanks are engines for a number of ranks, with one thread or two.
func tinyRanks(t testing.TB, dt compute.DType, n int, model string) []*Engine {
	engines := make([]*Engine, n)
	for r := range engines {
		engines[r] = engineOf(t, dt, 1+r%2, "testdata", "golden", model)
	}
	return engines
}

// TestCausalClipsHaveTheSameBytesOnAnyMesh, also where heads do not divide among ranks, and moves
// the bytes that the planner counts.
func TestCausalClipsHaveTheSameBytesOnAnyMesh(t *testing.T) {
	type clips struct {
		golden, model string
		dt            compute.DType
		ranks         []int
	}
	// Goroutines meet as in the first of them, whatever the numbers of heads and ranks.
	for _, c := range underrace.Some([]clips{
		{"causal_sink", "tiny3", compute.FP32, []int{1, 2, 3}},
		{"causal_window", "tiny7", compute.FP32, []int{1, 3, 5, 7}},
		{"causal_window", "tiny7", compute.BF16, []int{1, 4}},
	}, 1) {
		t.Run(c.golden+" "+c.dt.String(), func(t *testing.T) {
			s, want := causalSpec(golden.Open(t, c.golden)), ""
			for i, n := range c.ranks {
				if testing.Short() && i > 0 && i < len(c.ranks)-1 {
					continue // the fewest and the most
				}
				engines, m := tinyRanks(t, c.dt, n, c.model), job.Mesh{CFG: 1, Ulysses: n}
				for _, e := range engines {
					blind(e)
				}
				res, _ := generate(t, engines, inMemory(t, n), s, m)
				if want == "" {
					want = res.LatentsSHA256
				}
				if res.LatentsSHA256 != want {
					t.Errorf("%s: latents %.12s, others %.12s", m, res.LatentsSHA256, want)
				}
				if c.dt == compute.FP32 {
					bytesAsCounted(t, engines[0], s, m, res.StepBytes)
				}
			}
		})
	}
}

// TestCausalClipsResumeAfterAnyBlock loses the attempt after each block, and goes on with fewer
// ranks or more: to the same latents and the same video.
func TestCausalClipsResumeAfterAnyBlock(t *testing.T) {
	s := causalSpec(golden.Open(t, "causal_sink"))
	s.Format, s.FPS, s.Width, s.Height = "webm", 4, 32, 32
	engines := tinyRanks(t, compute.FP32, 3, "tiny3")
	objects, parts := artifact.NewMemory(), map[string]job.Object{}
	var saved []job.Checkpoint
	var mu sync.Mutex // parts are kept in the background
	first := job.Plan{Spec: s, Mesh: job.Mesh{CFG: 1, Ulysses: 2}, CheckpointEvery: 3}
	want := attempt(t, engines[:2], inMemory(t, 2), first, objects, func(k *testRank) {
		if k.Rank == 0 {
			k.everyCheckpoint(t, func(c job.Checkpoint) { saved = append(saved, c) })
			k.keepPart = func(_ context.Context, name string, o job.Object) error {
				mu.Lock()
				defer mu.Unlock()
				parts[name] = o
				return nil
			}
		}
	})
	if len(saved) < s.Blocks-1 || saved[0].Step != s.Steps || saved[1].Step != 2*s.Steps+1 {
		t.Fatalf("checkpoints of %+v", saved) // nothing waits for the one of the last block
	}

	for i, c := range saved {
		if testing.Short() && i%2 == 0 {
			continue
		}
		n := 1 + (i+2)%3
		plan := job.Plan{Spec: s, Mesh: job.Mesh{CFG: 1, Ulysses: n}, Attempt: 2, Resume: c,
			CheckpointEvery: 1, Parts: map[string]job.Object{}}
		for k := range i { // the seconds of the blocks so far, and not those of the latest
			if o, ok := parts[job.VideoPart(k)]; ok {
				plan.Parts[job.VideoPart(k)] = o
			}
		}
		var steps []int
		got := attempt(t, engines[:n], inMemory(t, n), plan, objects, func(k *testRank) {
			if k.Rank == 0 {
				k.progress = func(p job.Progress) { steps = append(steps, p.Done) }
			}
		})
		if got.LatentsSHA256 != want.LatentsSHA256 || got.Video.SHA256 != want.Video.SHA256 {
			t.Errorf("after block %d, on %d ranks: latents %.12s, video %.12s, undisturbed %.12s, %.12s",
				i+1, n, got.LatentsSHA256, got.Video.SHA256, want.LatentsSHA256, want.Video.SHA256)
		}
		if steps[0] != c.Step {
			t.Errorf("after block %d progress begins at step %d, not %d", i+1, steps[0], c.Step)
		}
		if i > 1 && got.FramesReused == 0 {
			t.Errorf("after block %d all frames were decoded again", i+1)
		}
	}
}

// TestADamagedCausalCheckpointIsNamed wants the leader to be told, so that it can fall back on
// another one.
func TestADamagedCausalCheckpointIsNamed(t *testing.T) {
	s := causalSpec(golden.Open(t, "causal_window"))
	objects, engines := artifact.NewMemory(), tinyRanks(t, compute.FP32, 1, "tiny7")
	o, err := objects.Put(t.Context(), strings.NewReader("no checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]job.Checkpoint{"bytes of something else": {Step: 3, Object: o},
		"a step within a block": {Step: 4, Object: o}} {
		_, errs := tryAttempt(t, engines, inMemory(t, 1), job.Plan{Spec: s, Resume: c,
			Mesh: job.Mesh{CFG: 1, Ulysses: 1}}, objects, nil)
		if _, ok := errors.AsType[*DamagedError](errs[0]); !ok {
			t.Errorf("%s: %v", name, errs[0])
		}
	}
}

// TestSecondsAreThereBeforeTheLastBlock holds the rank before its last block until the first second
// of the clip is stored: people watch the beginning while the rest is made.
func TestSecondsAreThereBeforeTheLastBlock(t *testing.T) {
	underrace.Skip(t, "seconds are kept while blocks are made in the test of resuming")
	s := causalSpec(golden.Open(t, "causal_sink"))
	s.Format, s.FPS = "webm", 4
	stored := make(chan string, 64)
	last, held := (s.Blocks-1)*(s.Steps+1), false
	plan := job.Plan{Spec: s, Mesh: job.Mesh{CFG: 1, Ulysses: 1}, CheckpointEvery: 1}
	attempt(t, tinyRanks(t, compute.FP32, 1, "tiny3"), inMemory(t, 1), plan, artifact.NewMemory(),
		func(k *testRank) {
			k.keepPart = func(_ context.Context, name string, _ job.Object) error {
				if name == job.VideoPart(0) {
					stored <- name
				}
				return nil
			}
			k.progress = func(p job.Progress) {
				if p.Stage == job.StageDenoise && p.Done == last && !held {
					held = true
					<-stored // forever, if no second comes before the clip is made
				}
			}
		})
	if !held {
		t.Error("the rank was not held before its last block")
	}
}

// TestCausalMemoryDoesNotGrowWithTheClip counts what a rank holds for clips of a second and of four
// minutes.
func TestCausalMemoryDoesNotGrowWithTheClip(t *testing.T) {
	s, e := causalSpec(golden.Open(t, "causal_sink")), tinyRanks(t, compute.FP32, 1, "tiny3")[0]
	need := func(blocks int) string {
		s.Blocks, s.Frames = blocks, 4*(3*blocks-1)+1
		r := e.newRun(Assignment{Plan: job.Plan{Spec: s, Mesh: job.Mesh{CFG: 1, Ulysses: 1},
			Nodes: make([]job.NodeID, 1)}, Transport: inMemory(t, 1)[0]}, &testHost{})
		if err := r.prepare(); err != nil {
			t.Fatal(err)
		}
		defer r.close()
		return fmt.Sprintf("%d bytes of the device, %d values", r.memoryNeeded(), r.valuesHeld())
	}
	if short, long := need(4), need(320); short != long {
		t.Errorf("a short clip takes %s, a long one %s", short, long)
	}
}

// BenchmarkCausalBlocks makes two minutes of blocks of a tiny clip, and reports how long one takes
// at the beginning and at the end: the same, as none sees more than the window.
func BenchmarkCausalBlocks(b *testing.B) {
	s, e := causalSpec(golden.Open(b, "causal_sink")), tinyRanks(b, compute.FP32, 1, "tiny3")[0]
	s.Width, s.Height, s.Blocks = 32, 32, 160
	s.Frames = 4*(3*s.Blocks-1) + 1
	for b.Loop() {
		var ends []time.Time
		attempt(b, []*Engine{e}, inMemory(b, 1), job.Plan{Spec: s, Mesh: job.Mesh{CFG: 1, Ulysses: 1}},
			artifact.NewMemory(), func(k *testRank) {
				k.progress = func(p job.Progress) {
					if (p.Done+1)%(s.Steps+1) == 0 && p.Stage == job.StageDenoise {
						ends = append(ends, time.Now())
					}
				}
			})
		each := func(from, to int) float64 {
			return ends[to].Sub(ends[from]).Seconds() * 1000 / float64(to-from)
		}
		b.ReportMetric(each(10, 50), "ms/block-early")
		b.ReportMetric(each(len(ends)-41, len(ends)-1), "ms/block-late")
	}
}
