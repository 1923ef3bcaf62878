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
		"mesh":      {Mesh: Mesh{CFG: 2, Ulysses: 3}, Shards: 6},
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
		{Request{Frames: ptr(0)}, "num_frames", "1 to 81"},
		{Request{Frames: ptr(-4)}, "num_frames", "1 to 81"},
		{Request{Frames: ptr(82)}, "num_frames", "1 to 81"},
		{Request{Width: ptr(4096), Height: ptr(4096)}, "num_frames x size", "up to 4096 tokens"},
		{Request{Steps: ptr(0)}, "num_inference_steps", "1 to 1000"},
		{Request{Steps: ptr(1001)}, "num_inference_steps", "1 to 1000"},
		{Request{GuidanceScale: ptr(-1.0)}, "guidance_scale", "0 to 100"},
		{Request{GuidanceScale: ptr(math.NaN())}, "guidance_scale", "0 to 100"},
		{Request{GuidanceScale: ptr(math.Inf(1))}, "guidance_scale", "0 to 100"},
		{Request{FlowShift: ptr(0.0)}, "flow_shift", "above 0"},
		{Request{FlowShift: ptr(math.NaN())}, "flow_shift", "above 0"},
		{Request{FPS: ptr(Rate(0))}, "fps", "1 to 120"},
		{Request{FPS: ptr(Rate(121))}, "fps", "1 to 120"},
		{Request{FPS: ptr(Rate(math.NaN()))}, "fps", "1 to 120"},
		{Request{FPS: ptr(Rate(-5)), Frames: ptr(-9)}, "fps", "1 to 120"},
		{Request{Window: ptr(-1), Frames: ptr(100)}, "window", "latent frames"},
		{Request{Window: ptr(1 << 40), Frames: ptr(100)}, "window", "latent frames"},
		{Request{ModelAsked: "\xff"}, "model", "UTF-8"},
		{Request{SecondsAsked: strings.Repeat("1", 300)}, "seconds", "256"},
		{Request{Notes: make([]string, NotesLimit+1)}, "notes", "16"},
		{Request{Scheduler: "ddim"}, "scheduler", "unipc, euler"},
		{Request{DType: "fp4"}, "dtype", "fp32"},
		{Request{Format: "gif"}, "format", "webm, mp4, png"},
		{Request{VideoQuality: 101}, "video_quality", "1 to 100"},
		{Request{VideoQuality: 9, Format: "png"}, "video_quality", "none: png"},
		{Request{Model: "sora"}, "model", `"demo"`},
		{Request{Prompt: strings.Repeat("a", PromptLimit+1)}, "prompt", "32768"},
		{Request{NegativePrompt: "\xff"}, "negative_prompt", "UTF-8"},
		{Request{Shards: -1}, "shards", "0 to 1024"},
		{Request{Shards: 1025}, "shards", "0 to 1024"},
		{Request{Threads: -1}, "threads", "0 to 1024"},
		{Request{Mesh: Mesh{CFG: 3, Ulysses: 1}}, "mesh", "cfg 1 or 2"},
		{Request{Mesh: Mesh{CFG: 1, Ulysses: 0}}, "mesh", "cfg 1 or 2"},
		{Request{Mesh: Mesh{CFG: 2, Ulysses: math.MaxInt}}, "mesh", "1024"},
		{Request{Mesh: Mesh{CFG: 2, Ulysses: 1}, Shards: 3}, "shards", "2, the size of mesh"},
		{Request{Mesh: Mesh{CFG: 2, Ulysses: 1}, GuidanceScale: ptr(1.0)}, "mesh", "cfg=1"},
		{Request{Mesh: Mesh{CFG: 1, Ulysses: 7}}, "mesh", "six heads"},
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

// long is a model that makes clips of any length, 9 latent frames at once.
func long() Model {
	m := demo()
	m.Defaults.MaxFrames, m.Defaults.Window, m.Defaults.Overlap, m.Extends = 33, 9, 3, true
	return m
}

func TestResolveLongClips(t *testing.T) {
	f := func(r Request, want Spec) {
		t.Helper()
		s, err := long().Resolve(r, nil)
		got := Spec{Window: s.Window, Overlap: s.Overlap, Schedule: s.Schedule, Long: s.Long}
		if err != nil || !got.Equal(want) {
			t.Errorf("%+v: %+v, %v; want %+v", r, got, err, want)
		}
	}
	f(Request{Frames: ptr(33)}, Spec{})
	f(Request{Frames: ptr(33), Long: LongExtend}, Spec{})
	f(Request{Frames: ptr(961)}, Spec{Window: 9, Overlap: 3, Schedule: "static", Long: "windows"})
	f(Request{Frames: ptr(41), Window: ptr(6)},
		Spec{Window: 6, Overlap: 2, Schedule: "static", Long: "windows"})
	f(Request{Frames: ptr(41), Schedule: "uniform", Overlap: ptr(0)},
		Spec{Window: 9, Schedule: "uniform", Long: "windows"})
	f(Request{Frames: ptr(41), Long: LongExtend, Schedule: "uniform"},
		Spec{Window: 9, Overlap: 3, Long: "extend"})
}

func TestResolveRefusesWindows(t *testing.T) {
	stock := long()
	stock.Extends = false
	for _, c := range []struct {
		m           Model
		r           Request
		field, says string
	}{
		{long(), Request{Frames: ptr(41), Window: ptr(10)}, "window", "to 9 latent frames"},
		{long(), Request{Frames: ptr(41), Window: ptr(0)}, "num_frames", "1 to 33"},
		{long(), Request{Frames: ptr(5), Overlap: ptr(-1)}, "overlap", "0 or more"},
		{long(), Request{Frames: ptr(41), Overlap: ptr(9)}, "overlap", "0 to 8"},
		{long(), Request{Frames: ptr(41), Overlap: ptr(0), Long: "extend"}, "overlap", "1 to 8"},
		{long(), Request{Frames: ptr(41), Long: "twice"}, "long", "windows, extend"},
		{long(), Request{Frames: ptr(41), Schedule: "x"}, "window_schedule", "static, uniform"},
		{stock, Request{Frames: ptr(41), Long: "extend"}, "long", "not trained"},
		{long(), Request{Frames: ptr(FramesLimit - 3), Width: ptr(1024), Height: ptr(1024)},
			"num_frames x size", "up to 33554432"},
		{long(), Request{Frames: ptr(41), Width: ptr(1024), Height: ptr(1024)},
			"num_frames x size", "smaller windows"},
	} {
		_, err := c.m.Resolve(c.r, nil)
		var f *FieldError
		if !errors.As(err, &f) || f.Field != c.field || !strings.Contains(f.Allowed, c.says) {
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
		"minus window":   func(m *Model) { m.Defaults.Window = -1 },
		"wide overlap":   func(m *Model) { m.Defaults.Window, m.Defaults.Frames = 3, 33; m.Defaults.Overlap = 3 },
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

func TestFramesSnapToTheNearest(t *testing.T) {
	m, two := demo(), demo()
	two.Patch[0], two.Defaults.MaxFrames, two.Defaults.Frames = 2, 83, 29
	f := func(m Model, n, want int, notice string) {
		t.Helper()
		s, err := m.Resolve(Request{Frames: &n}, nil)
		text := strings.Join(s.Notices(), "\n")
		if err != nil || s.Frames != want || !strings.Contains(text, notice) ||
			(text == "") != (n == want) {
			t.Errorf("%d frames: %d, %q, %v; want %d, %q", n, s.Frames, text, err, want, notice)
		}
	}
	f(m, 33, 33, "")
	f(m, 34, 33, "34 frames were asked for; the clip has 33 (2.06 s)")
	f(m, 35, 37, "35 frames were asked for; the clip has 37") // of two the larger one
	f(m, 36, 37, "the clip has 37")
	f(m, 2, 1, "the clip has 1")
	f(m, 1, 1, "")
	f(two, 1, 5, "the clip has 5") // two latent frames at least
	f(two, 9, 13, "the clip has 13")
	f(two, 83, 77, "the clip has 77") // 85 are too many
}

// TestSnappedFramesAreNear takes any count within the limits: what becomes of it stays, and is at
// most half of a step away.
func TestSnappedFramesAreNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, n := demo(), rapid.IntRange(1, 81).Draw(t, "frames")
		s, err := m.Resolve(Request{Frames: &n}, nil)
		if err != nil || (s.Frames-1)%4 != 0 || s.Frames-n > 2 || n-s.Frames > 2 {
			t.Fatalf("%d frames became %d, %v", n, s.Frames, err)
		}
		if again, err := m.Resolve(Request{Frames: &s.Frames}, nil); err != nil ||
			again.Frames != s.Frames || again.FramesAsked != 0 {
			t.Fatalf("%d frames became %d, %v", s.Frames, again.Frames, err)
		}
	})
}

// TestNoticesTellWhatWasAsked wants a notice in the words of the request: of a duration or of
// frames.
func TestNoticesTellWhatWasAsked(t *testing.T) {
	film := Rate(24000.0 / 1001)
	for _, c := range []struct {
		r    Request
		says string
	}{
		{Request{Frames: ptr(33)}, ""},
		{Request{Frames: ptr(34)}, "34 frames were asked for; the clip has 33 (2.06 s)"},
		{Request{Frames: ptr(17), SecondsAsked: "1"}, "1 s at 16 fps were asked for; the clip has 17"},
		{Request{Frames: ptr(20), SecondsAsked: "1.2"}, "1.2 s at 16 fps were asked for"},
		{Request{Frames: ptr(25), SecondsAsked: "1", FPS: &film}, "1 s at 23.976 fps were asked for; " +
			"the clip has 25 frames (1.043 s)"},
		{Request{Frames: ptr(33), SecondsAsked: "2.0625"}, ""},
	} {
		s, err := demo().Resolve(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(s.Notices(), "\n")
		if (c.says == "") != (got == "") || !strings.Contains(got, c.says) ||
			c.r.SecondsAsked != "" && strings.Contains(got, "20 frames were asked for") {
			t.Errorf("%+v: %q, want %q", c.r, got, c.says)
		}
	}
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
		s.FramesAsked = 0
		again := Request{Model: s.Model, Prompt: s.Prompt, NegativePrompt: s.NegativePrompt,
			Width: &s.Width, Height: &s.Height, Frames: &s.Frames, FPS: &s.FPS, Steps: &s.Steps,
			GuidanceScale: &s.GuidanceScale, FlowShift: &s.FlowShift, Scheduler: s.Scheduler,
			Seed: &s.Seed, DType: s.DType, Format: s.Format, Shards: s.Shards, Mesh: s.Mesh,
			Threads: s.Threads, Window: &s.Window, Overlap: &s.Overlap, Schedule: s.Schedule, Long: s.Long,
			Scenes: s.Scenes, Priority: s.Priority, ModelAsked: s.ModelAsked,
			SecondsAsked: s.SecondsAsked, Notes: s.Notes}
		if second, err := m.Resolve(again, nil); err != nil || !second.Equal(s) {
			t.Fatalf("%+v, then %+v, %v", s, second, err)
		}
		if n := m.Tokens(s.Frames, s.Height, s.Width); n < 1 {
			t.Fatalf("%d tokens for %+v", n, s)
		}
	})
}

func TestWhichModelTakesThePlaceOfAnother(t *testing.T) {
	model := func(edit func(*Model)) Model {
		m := demo()
		m.Fingerprint = FingerprintKind + "1"
		edit(&m)
		return m
	}
	good := model(func(*Model) {})
	other := model(func(m *Model) { m.Fingerprint = FingerprintKind + "2" })
	bad := model(func(m *Model) { m.Fingerprint, m.Damage = FingerprintKind+"3", "NaN" })
	old := model(func(m *Model) { m.Fingerprint = "1" })
	oldOther := model(func(m *Model) { m.Fingerprint, m.Layers = "1", 3 })
	for name, c := range map[string]struct {
		m, old Model
		want   bool
	}{
		"the first":                       {good, Model{}, true},
		"a damaged first":                 {bad, Model{}, true},
		"another":                         {other, good, false},
		"a damaged one, of a good one":    {bad, good, false},
		"a good one, of a damaged one":    {good, bad, true},
		"the same, of an earlier release": {good, old, true},
		"another, of an earlier release":  {good, oldOther, false},
		"back to an earlier release":      {old, good, false},
	} {
		if got := c.m.Succeeds(c.old); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestTheTypeThatIsLeftOut is what the cluster's devices are made for; another one that leaves
// tensor cores unused has a notice.
func TestTheTypeThatIsLeftOut(t *testing.T) {
	for _, c := range []struct {
		devices, asked, want string
		notices              int
	}{
		{"", "", "fp32", 0}, {"fp32", "", "fp32", 0}, {"fp32", "bf16", "bf16", 0},
		{"bf16", "", "bf16", 0}, {"bf16", "bf16", "bf16", 0}, {"bf16", "fp32", "fp32", 1},
	} {
		m := demo()
		m.Defaults.DType = c.devices
		s, err := m.Resolve(Request{DType: c.asked}, nil)
		if err != nil || s.DType != c.want || len(s.Notes) != c.notices {
			t.Errorf("%+v: %s, %q, %v", c, s.DType, s.Notes, err)
		}
	}
	m := demo()
	if m.Defaults.DType = "int3"; m.Check() == nil {
		t.Error("a model may default to any type")
	}
}
