package plan

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/job"
)

// model has patches of 1x2x2, and frames and pixels 4 and 8 to a latent one.
func model() job.Model {
	return job.Model{Name: "demo", Fingerprint: "f1", Heads: 6, HeadDim: 32, Layers: 8,
		Patch: [3]int{1, 2, 2}, LatentChannels: 16, TemporalScale: 4, SpatialScale: 8, Extends: true,
		Defaults: job.Defaults{Width: 96, Height: 64, Frames: 33, Steps: 4, FPS: 16,
			GuidanceScale: 4, FlowShift: 3, Scheduler: "unipc", MaxFrames: 33}}
}

// resolve returns a request's spec.
func resolve(t interface{ Fatal(...any) }, r job.Request) job.Spec {
	r.Prompt = "a"
	s, err := model().Resolve(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLoad counts what a step has to carry of clips of each kind.
func TestLoad(t *testing.T) {
	frames, window, overlap, one := 97, 9, 3, 1.0
	for name, c := range map[string]struct {
		r                      job.Request
		windows, tokens, bytes int
		passes                 int64
	}{
		"a short clip":     {job.Request{}, 1, 9 * 24, 4, 2},
		"without guidance": {job.Request{GuidanceScale: &one}, 1, 9 * 24, 4, 1},
		"in bfloat16":      {job.Request{DType: "bf16"}, 1, 9 * 24, 2, 2},
		"windows": {job.Request{Frames: &frames, Window: &window, Overlap: &overlap}, 4, 9 * 24, 4,
			8},
		"one window after the other": {job.Request{Frames: &frames, Window: &window,
			Overlap: &overlap, Long: job.LongExtend}, 1, 9 * 24, 4, 2},
	} {
		t.Run(name, func(t *testing.T) {
			l := Load(model(), resolve(t, c.r))
			if n := len(l.Windows(0)); n != c.windows || l.WindowTokens() != c.tokens {
				t.Errorf("%d windows of %d tokens", n, l.WindowTokens())
			}
			if l.Passes() != c.passes || l.ElementBytes != c.bytes || l.TokenWidth != 64 {
				t.Errorf("%d passes, elements of %d bytes, tokens of %d values", l.Passes(),
					l.ElementBytes, l.TokenWidth)
			}
		})
	}
}

// TestBlocksAreTheTimelines compares the blocks that a spec counts with the windows that ranks make.
func TestBlocksAreTheTimelines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frames := 1 + 4*rapid.IntRange(1, 40).Draw(t, "latents")
		window := rapid.IntRange(2, 9).Draw(t, "window")
		overlap := rapid.IntRange(1, window-1).Draw(t, "overlap")
		s := resolve(t, job.Request{Frames: &frames, Window: &window, Overlap: &overlap,
			Long: job.LongExtend})
		if s.Long != job.LongExtend {
			return // one window has it all
		}
		if n := len(Timeline(Grid(model(), s), s).Windows(0)); n != s.Blocks {
			t.Fatalf("%d blocks, counted %d", n, s.Blocks)
		}
	})
}
