package job

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func stored(name string) Object {
	return Object{Name: name, Size: 1, SHA256: strings.Repeat("0a", 32)}
}

// TestResolvedSpecsPassTheirOwnCheck wants whatever Resolve lets through to be accepted by who gets
// it from a coordinator.
func TestResolvedSpecsPassTheirOwnCheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom([]Model{demo(), extender(), causal()}).Draw(t, "model")
		r := Request{Prompt: "a", Frames: ptr(rapid.IntRange(1, 200).Draw(t, "frames"))}
		if rapid.Bool().Draw(t, "windows") {
			r.Window = ptr(rapid.IntRange(0, 21).Draw(t, "window"))
			r.Long = rapid.SampledFrom([]Long{"", LongWindows, LongExtend, LongCausal}).Draw(t, "long")
			r.Schedule = rapid.SampledFrom([]Schedule{"", ScheduleUniform}).Draw(t, "schedule")
		}
		if rapid.Bool().Draw(t, "start") {
			r.Inputs = start(KindLatents, rapid.IntRange(1, 9).Draw(t, "given"))
		}
		if rapid.Bool().Draw(t, "scenes") {
			r.Scenes = []Scene{{0, "a"}, {0.5, "b"}}
		}
		s, err := m.Resolve(r, nil)
		if err != nil {
			return
		}
		if err := m.CheckSpec(s); err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
	})
}

func TestForgedSpecsAreRefused(t *testing.T) {
	good, err := demo().Resolve(Request{Prompt: "a", Frames: ptr(33)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*Spec){
		"width":               func(s *Spec) { s.Width = 0 },
		"height":              func(s *Spec) { s.Height = math.MinInt },
		"num_frames":          func(s *Spec) { s.Frames = -5 },
		"num_frames_asked":    func(s *Spec) { s.FramesAsked = -1 },
		"window":              func(s *Spec) { s.Window = -1 },
		"overlap":             func(s *Spec) { s.Overlap = 1 },
		"blocks":              func(s *Spec) { s.Blocks = 3 },
		"num_inference_steps": func(s *Spec) { s.Steps = 0 },
		"fps":                 func(s *Spec) { s.FPS = 0 },
		"guidance_scale":      func(s *Spec) { s.GuidanceScale = math.NaN() },
		"scheduler":           func(s *Spec) { s.Scheduler = "" },
		"model":               func(s *Spec) { s.Model = "another" },
		"prompt":              func(s *Spec) { s.Prompt = strings.Repeat("x", PromptLimit+1) },
		"input_reference":     func(s *Spec) { s.Inputs = []Input{{Role: RoleStart, Kind: KindImage}} },
		"inputs":              func(s *Spec) { s.Inputs = []Input{{Role: "sound"}} },
		"storyboard":          func(s *Spec) { s.Scenes = make([]Scene, ScenesLimit+1) },
		"mesh":                func(s *Spec) { s.Mesh = Mesh{CFG: -1, Ulysses: -2} },
	} {
		s := good
		spoil(&s)
		var f *FieldError
		if err := demo().CheckSpec(s); !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	s := good
	if s.Width = 100; s.Check() != nil || demo().CheckSpec(s) == nil {
		t.Error("what only this model refuses is not told from what every model does")
	}
}

// known are records that the state machine may have led to.
func known(t *testing.T) map[string]Record {
	t.Helper()
	s, err := demo().Resolve(Request{Prompt: "a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Record{}
	add := func(name string, r Record, err error) Record {
		if out[name] = r; err != nil {
			t.Fatal(err)
		}
		return r
	}
	queued := add("queued", New("video_1", "key", s, now), nil)
	r, err := queued.Place(planOf(queued, 1, 2), now)
	running := add("running", r, err)
	r, err = running.Save(1, Checkpoint{Step: 3, Object: stored("c3")}, now)
	add("saved", r, err)
	r, err = r.Save(1, Checkpoint{Step: 5, Object: stored("c5"), Seconds: 1}, now)
	add("saved twice", r, err)
	kept, err := r.Keep(1, "text.0", stored("text"))
	add("kept", kept, err)
	lost, err := kept.Lose(1, Setback{Reason: "gone", Done: math.MaxInt}, now)
	add("lost", lost, err)
	r, err = lost.Fail(1, "no", now)
	add("failed", r, err)
	r, err = queued.RequestCancel(now)
	add("cancelled", r, err)
	r, err = kept.Complete(1, Result{Video: stored("v"), Latents: stored("l"),
		ContentType: "video/webm", Seconds: map[Stage]float64{StageText: 1}}, now)
	add("completed", r, err)
	return out
}

func TestWhatTransitionsLeadToPassesItsCheck(t *testing.T) {
	for name, r := range known(t) {
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForgedRecordsAreRefused(t *testing.T) {
	type spoil struct {
		of, field string
		f         func(*Record)
	}
	one := map[string]Object{"a": stored("a")}
	long := strings.Repeat("x", 1<<20)
	for name, c := range map[string]spoil{
		"no id":      {"queued", "id", func(r *Record) { r.ID = "" }},
		"a path":     {"queued", "id", func(r *Record) { r.ID = "../x" }},
		"a long key": {"queued", "key", func(r *Record) { r.Key = long }},
		"no state":   {"queued", "state", func(r *Record) { r.State = "" }},
		"no width":   {"queued", "width", func(r *Record) { r.Spec.Width = 0 }},
		"running, no plan": {"running", "plan.attempt",
			func(r *Record) { r.Plan = Plan{} }},
		"running, no nodes": {"running", "plan", func(r *Record) { r.Plan.Nodes = nil }},
		"running, never":    {"running", "attempt", func(r *Record) { r.Attempt = 0 }},
		"the last attempt": {"running", "attempt",
			func(r *Record) { r.Attempt = math.MaxUint32 }},
		"a node twice": {"running", "plan",
			func(r *Record) { r.Plan.Nodes[1] = r.Plan.Nodes[0] }},
		"a node for NATS": {"running", "plan",
			func(r *Record) { r.Plan.Nodes[1] = "a.>" }},
		"a wide mesh": {"running", "plan",
			func(r *Record) { r.Plan.Mesh.Ulysses = 1 << 40 }},
		"minus every": {"running", "plan",
			func(r *Record) { r.Plan.CheckpointEvery = -1 }},
		"another's plan": {"running", "plan", func(r *Record) { r.Plan.Job = "k" }},
		"parts in a plan": {"running", "plan.parts",
			func(r *Record) { r.Plan.Parts = one }},
		"a plan too early": {"queued", "plan",
			func(r *Record) { r.Plan.Nodes = []NodeID{"n"} }},
		"step 1000 of 30": {"saved", "checkpoint.step",
			func(r *Record) { r.Checkpoint.Step = 1000 }},
		"a step of nothing": {"saved", "checkpoint.object",
			func(r *Record) { r.Checkpoint.Object.Size = -1 }},
		"before is after": {"saved twice", "before.step",
			func(r *Record) { r.Before.Step = 5 }},
		"a strange part": {"kept", "parts",
			func(r *Record) { r.Parts["/"] = stored("x") }},
		"a loss to come": {"lost", "losses[0].attempt",
			func(r *Record) { r.Losses[0].Attempt = 2 }},
		"a loss at step -1": {"lost", "losses[0].step",
			func(r *Record) { r.Losses[0].Step = -1 }},
		"many losses": {"lost", "losses",
			func(r *Record) { r.Losses = make([]Loss, LossesLimit+1) }},
		"a long error":      {"failed", "error", func(r *Record) { r.Error = long }},
		"an end with parts": {"failed", "parts", func(r *Record) { r.Parts = one }},
		"a result of a path": {"completed", "result.video",
			func(r *Record) { r.Result.Video.Name = "" }},
		"a long type": {"completed", "result.content_type",
			func(r *Record) { r.Result.ContentType = long }},
		"a result too early": {"running", "result",
			func(r *Record) { r.Result.Video = stored("v") }},
	} {
		r := known(t)[c.of]
		r.Parts, r.Losses = maps.Clone(r.Parts), slices.Clone(r.Losses)
		r.Plan.Nodes = slices.Clone(r.Plan.Nodes)
		c.f(&r)
		var f *FieldError
		if err := r.Check(); !errors.As(err, &f) || f.Field != c.field ||
			strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000 {
			t.Errorf("%s: %.300v; want field %s", name, err, c.field)
		}
	}
}
