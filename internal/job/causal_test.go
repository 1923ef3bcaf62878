package job

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// causal is a model that makes clips in blocks of 3 latent frames, with LongLive's schedule.
func causal() Model {
	m := demo()
	m.MaxPositions = 64
	m.Causal = &Causal{Block: 3, Window: 12, Sink: 3, Timesteps: []float64{1000, 750, 500, 250},
		Shift: 5, Warp: true}
	return m
}

// TestCausalClipsAreLaidOut lists what becomes of requests: whole blocks, one step more behind each
// but the last, the model's schedule unless the request has another shift or window.
func TestCausalClipsAreLaidOut(t *testing.T) {
	for _, c := range []struct {
		r                     Request
		frames, blocks, steps int
		window, sink          int
		shift                 float64
	}{
		{Request{}, 33, 3, 14, 9, 0 + 3, 5},
		{Request{Frames: ptr(81)}, 81, 7, 34, 12, 3, 5},
		{Request{Frames: ptr(81), Window: ptr(6), FlowShift: ptr(8.0)}, 81, 7, 34, 6, 3, 8},
		{Request{Frames: ptr(1)}, 9, 1, 4, 3, 0, 5},
		{Request{Frames: ptr(245), Long: LongCausal}, 249, 21, 104, 12, 3, 5},
		{Request{Frames: ptr(40), GuidanceScale: ptr(1.0), Steps: ptr(4)}, 45, 4, 19, 12, 3, 5},
	} {
		m := causal()
		s, err := m.Resolve(c.r, nil)
		if err != nil {
			t.Errorf("%+v: %v", c.r, err)
			continue
		}
		if s.Frames != c.frames || s.Blocks != c.blocks || s.TotalSteps() != c.steps || s.Guided() ||
			s.Window != c.window || s.Causal.Sink != c.sink || s.Causal.Shift != c.shift ||
			s.Long != LongCausal || s.Overlap != 0 || s.Schedule != "" || s.Steps != 4 {
			t.Errorf("%+v becomes %+v, %+v", c.r, s, s.Causal)
		}
		if err := m.CheckSpec(s); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if s, err := causal().Resolve(Request{Long: LongWindows}, nil); err != nil || s.Causal != nil {
		t.Errorf("windows of a causal model: %+v, %v", s, err)
	}
}

func TestCausalClipsAreRefused(t *testing.T) {
	f := func(m Model, r Request, field, says string) {
		t.Helper()
		_, err := m.Resolve(r, nil)
		var e *FieldError
		if !errors.As(err, &e) || e.Field != field || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v; want field %s, %q", r, err, field, says)
		}
	}
	f(demo(), Request{Long: LongCausal}, "long", `"causal": {"block": 3`)
	f(causal(), Request{Steps: ptr(30)}, "num_inference_steps", "allowed: 4")
	f(causal(), Request{GuidanceScale: ptr(5.0)}, "guidance_scale", "without guidance")
	f(causal(), Request{Window: ptr(7), Frames: ptr(81)}, "window", "6 to 64 latent frames")
	f(causal(), Request{Window: ptr(3), Frames: ptr(81)}, "window", "6 to 64 latent frames")
	f(causal(), Request{Overlap: ptr(3)}, "overlap", "do not overlap")
	f(causal(), Request{Scheduler: "euler"}, "scheduler", "steps of their own")
	f(causal(), Request{Scenes: []Scene{{0, "a"}, {1, "b"}}}, "storyboard", "one prompt")
	f(causal(), Request{Frames: ptr(257)}, "num_frames", "1 to 253")
	f(causal(), Request{Inputs: start(KindLatents, 3), Long: LongCausal}, "input_reference", "none")
	small := causal()
	small.MaxTokens = 12*24 - 1
	f(small, Request{Frames: ptr(81)}, "num_frames x size", "at once")
}

// TestForgedCausalSpecsAreRefused changes what a spec says of its blocks.
func TestForgedCausalSpecsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Spec){
		"another kind":   func(s *Spec) { s.Long = LongWindows },
		"no schedule":    func(s *Spec) { s.Causal = nil },
		"no timesteps":   func(s *Spec) { s.Causal.Timesteps = nil },
		"rising ones":    func(s *Spec) { slices.Reverse(s.Causal.Timesteps) },
		"more steps":     func(s *Spec) { s.Steps++ },
		"other blocks":   func(s *Spec) { s.Blocks++ },
		"a larger sink":  func(s *Spec) { s.Causal.Sink = 12 },
		"another window": func(s *Spec) { s.Window = 9 },
		"broken blocks":  func(s *Spec) { s.Causal.Block = 0 },
		"another shift":  func(s *Spec) { s.FlowShift = 3 },
		"guidance":       func(s *Spec) { s.GuidanceScale = 4 },
		"other frames":   func(s *Spec) { s.Frames = 85 },
	} {
		s, err := causal().Resolve(Request{Frames: ptr(81)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if spoil(&s); causal().CheckSpec(s) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
