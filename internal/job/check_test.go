package job

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func demo() Model {
	return Model{Name: "demo", Fingerprint: "f", Heads: 6, HeadDim: 32, Layers: 8,
		Patch: [3]int{1, 2, 2}, LatentChannels: 16, TemporalScale: 4, SpatialScale: 8,
		MaxTokens: 4096, Defaults: Defaults{Width: 96, Height: 64, Frames: 33, MaxFrames: 81,
			Steps: 30, FPS: 16, GuidanceScale: 4, FlowShift: 3, Scheduler: "unipc"}}
}

func ptr[T any](v T) *T { return &v }

func TestResolveFillsDefaults(t *testing.T) {
	s, err := demo().Resolve(Request{Prompt: "a ball"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Spec{Model: "demo", Prompt: "a ball", Width: 96, Height: 64, Frames: 33, FPS: 16,
		Steps: 30, GuidanceScale: 4, FlowShift: 3, Scheduler: "unipc", DType: "fp32", Format: "webm"}
	if !s.Equal(want) {
		t.Fatalf("%+v\nwant %+v", s, want)
	}
}

func TestResolveAccepts(t *testing.T) {
	for name, r := range map[string]Request{
		"empty prompt": {}, "zero guidance": {GuidanceScale: ptr(0.0)}, "an image": {Frames: ptr(1)},
		"largest seed": {Seed: ptr(uint64(math.MaxInt64))}, "a square": {Height: ptr(16), Width: ptr(16)},
		"mesh":      {Mesh: Mesh{2, 3}, Shards: 6},
		"long text": {Prompt: strings.Repeat("a", PromptLimit)},
	} {
		if _, err := demo().Resolve(r, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestResolveNamesTheWrongField(t *testing.T) {
	cases := []struct {
		r           Request
		field, says string
	}{
		{Request{Width: ptr(100)}, "width", "nearest 96 and 112"},
		{Request{Width: ptr(0)}, "width", "multiple of 16 from 16 to 4096"},
		{Request{Height: ptr(4112)}, "height", "to 4096"},
		{Request{Height: ptr(-16)}, "height", "multiple of 16"},
		{Request{Frames: ptr(32)}, "num_frames", "4k+1 from 1 to 81, nearest 29 and 33"},
		{Request{Frames: ptr(0)}, "num_frames", "4k+1"},
		{Request{Frames: ptr(85)}, "num_frames", "1 to 81"},
		{Request{Width: ptr(4096), Height: ptr(4096)}, "num_frames x size", "up to 4096 tokens"},
		{Request{Steps: ptr(0)}, "num_inference_steps", "1 to 1000"},
		{Request{Steps: ptr(1001)}, "num_inference_steps", "1 to 1000"},
		{Request{GuidanceScale: ptr(-1.0)}, "guidance_scale", "0 to 100"},
		{Request{GuidanceScale: ptr(math.NaN())}, "guidance_scale", "0 to 100"},
		{Request{GuidanceScale: ptr(math.Inf(1))}, "guidance_scale", "0 to 100"},
		{Request{FlowShift: ptr(0.0)}, "flow_shift", "above 0"},
		{Request{FlowShift: ptr(math.NaN())}, "flow_shift", "above 0"},
		{Request{Seed: ptr(uint64(1 << 63))}, "seed", "9223372036854775807"},
		{Request{FPS: ptr(0)}, "fps", "1 to 120"},
		{Request{FPS: ptr(121)}, "fps", "1 to 120"},
		{Request{Scheduler: "ddim"}, "scheduler", "unipc, euler"},
		{Request{DType: "fp8"}, "dtype", "fp32"},
		{Request{Format: "gif"}, "format", "webm, mp4, png"},
		{Request{Model: "sora"}, "model", `"demo"`},
		{Request{Prompt: strings.Repeat("a", PromptLimit+1)}, "prompt", "32768"},
		{Request{NegativePrompt: "\xff"}, "negative_prompt", "UTF-8"},
		{Request{Shards: -1}, "shards", "0 to 1024"},
		{Request{Shards: 1025}, "shards", "0 to 1024"},
		{Request{Threads: -1}, "threads", "0 to 1024"},
		{Request{Mesh: Mesh{3, 1}}, "mesh", "cfg 1 or 2"},
		{Request{Mesh: Mesh{1, 0}}, "mesh", "cfg 1 or 2"},
		{Request{Mesh: Mesh{2, math.MaxInt}}, "mesh", "1024"},
		{Request{Mesh: Mesh{2, 1}, Shards: 3}, "shards", "2, the size of mesh"},
		{Request{Mesh: Mesh{2, 1}, GuidanceScale: ptr(1.0)}, "mesh", "cfg=1"},
		{Request{Mesh: Mesh{1, 7}}, "mesh", "six heads"},
		{Request{Key: strings.Repeat("k", 257)}, "key", "256"},
	}
	six := func(Spec, Mesh) error { return errors.New("at most six heads") }
	for _, c := range cases {
		_, err := demo().Resolve(c.r, six)
		var f *FieldError
		if !errors.As(err, &f) || f.Field != c.field || !strings.Contains(f.Allowed, c.says) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%v; want field %s, %q", err, c.field, c.says)
		}
	}
}

func TestModelCheck(t *testing.T) {
	if err := demo().Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Model){
		"no name":        func(m *Model) { m.Name = "" },
		"no fingerprint": func(m *Model) { m.Fingerprint = "" },
		"zero patch":     func(m *Model) { m.Patch[1] = 0 },
		"zero scale":     func(m *Model) { m.TemporalScale = 0 },
		"minus heads":    func(m *Model) { m.Heads = -1 },
		"huge patch":     func(m *Model) { m.Patch[2] = math.MaxInt },
		"minus tokens":   func(m *Model) { m.MaxTokens = -1 },
		"odd default":    func(m *Model) { m.Defaults.Frames = 2 },
		"no default":     func(m *Model) { m.Defaults.Steps = 0 },
	} {
		m := demo()
		spoil(&m)
		if m.Check() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestNearestFramesAreAllowed takes any wrong count: what the error proposes is accepted.
func TestNearestFramesAreAllowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, n := demo(), rapid.IntRange(2, 80).Draw(t, "frames")
		_, err := m.Resolve(Request{Frames: &n}, nil)
		if (n-1)%4 == 0 {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		low := n - (n-1)%4
		for _, near := range []int{low, low + 4} {
			if _, err := m.Resolve(Request{Frames: &near}, nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzResolve feeds JSON requests to JSON models: nothing panics, and what is accepted stays
// accepted when it is asked for explicitly.
func FuzzResolve(f *testing.F) {
	m, err := json.Marshal(demo())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m, []byte(`{"prompt":"x","num_frames":33,"mesh":{"cfg":2,"ulysses":2}}`))
	f.Add(m, []byte(`{"storyboard":[{"start":0,"prompt":"x"},{"start":1,"prompt":"y"}]}`))
	f.Add([]byte(`{}`), []byte(`{"width":-1}`))
	f.Fuzz(func(t *testing.T, model, request []byte) {
		var m Model
		var r Request
		if json.Unmarshal(model, &m) != nil || json.Unmarshal(request, &r) != nil || m.Check() != nil {
			return
		}
		s, err := m.Resolve(r, nil)
		if err != nil {
			return
		}
		again := Request{Model: s.Model, Prompt: s.Prompt, NegativePrompt: s.NegativePrompt,
			Width: &s.Width, Height: &s.Height, Frames: &s.Frames, FPS: &s.FPS, Steps: &s.Steps,
			GuidanceScale: &s.GuidanceScale, FlowShift: &s.FlowShift, Scheduler: s.Scheduler,
			Seed: &s.Seed, DType: s.DType, Format: s.Format, Shards: s.Shards, Mesh: s.Mesh,
			Threads: s.Threads, Scenes: s.Scenes}
		if second, err := m.Resolve(again, nil); err != nil || !second.Equal(s) {
			t.Fatalf("%+v, then %+v, %v", s, second, err)
		}
		if n := m.Tokens(s.Frames, s.Height, s.Width); n < 1 {
			t.Fatalf("%d tokens for %+v", n, s)
		}
	})
}
