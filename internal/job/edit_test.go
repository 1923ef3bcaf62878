package job

import (
	"strings"
	"testing"
)

// editing is a request whose clip is made from inputs of these roles.
func editing(frames int, roles ...Role) Request {
	r := Request{Prompt: "a"}
	for _, role := range roles {
		in := Input{Role: role, Kind: KindFrames, Frames: frames}
		if role == RoleReference {
			in.Kind, in.Frames = KindImage, 0
		}
		in.Object = Object{Name: "o", Size: 1, SHA256: strings.Repeat("0", 64)}
		r.Inputs = append(r.Inputs, in)
	}
	return r
}

func taker(t Takes) Model {
	m := demo()
	m.Takes = t
	return m
}

// TestStrengthCutsSteps has the counts of get_timesteps; products of steps and strength are cut,
// also where rounding makes them a little less than whole.
func TestStrengthCutsSteps(t *testing.T) {
	for _, c := range []struct {
		steps    int
		strength float64
		want     int
	}{{50, 0.8, 10}, {4, 1, 0}, {4, 0.8, 1}, {5, 0.3, 4}, {20, 0.35, 13}, {3, 0.34, 2}, {3, 0.33, 3},
		{100, 0.29, 72}, {50, 0, 0}} {
		if got := (Spec{Steps: c.steps, Strength: c.strength}).Skipped(); got != c.want {
			t.Errorf("%d steps at strength %v: %d are skipped, want %d", c.steps, c.strength, got, c.want)
		}
	}
}

// TestEditsAreResolved fills in what depends on the model and on the video.
func TestEditsAreResolved(t *testing.T) {
	changes, follows := taker(Takes{Video: true}), taker(Takes{Control: true})
	r := editing(33, RoleVideo)
	s, err := changes.Resolve(r, nil)
	if err != nil || s.Strength != 0.8 || s.ConditioningScale != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := changes.CheckSpec(s); err != nil {
		t.Error(err)
	}
	s, err = follows.Resolve(editing(33, RoleVideo, RoleMask, RoleReference, RoleReference), nil)
	if err != nil || s.Strength != 0 || s.ConditioningScale != 1 || s.References() != 2 ||
		s.TotalSteps() != s.Steps {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = follows.Resolve(Request{Prompt: "a"}, nil)
	if err != nil || s.ConditioningScale != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = changes.Resolve(Request{Prompt: "a"}, nil)
	if err != nil || s.Strength != 0 || s.TotalSteps() != s.Steps {
		t.Errorf("%+v, %v", s, err)
	}

	// A video says the length and the size that a request leaves out, as far as the model makes them.
	for _, c := range []struct{ w, h, frames, wantW, wantH, wantFrames int }{
		{64, 48, 11, 64, 48, 9}, {64, 50, 12, 96, 64, 9}, {32, 32, 1, 32, 32, 1},
		{48, 64, 33, 48, 64, 33},
	} {
		r := Request{}.Edit(changes, c.w, c.h, c.frames)
		s := changes.fill(r)
		if s.Width != c.wantW || s.Height != c.wantH || s.Frames != c.wantFrames {
			t.Errorf("%+v: %dx%d, %d frames", c, s.Width, s.Height, s.Frames)
		}
	}
	said := Request{Frames: ptr(7), Width: ptr(80)}.Edit(changes, 64, 48, 8)
	if *said.Frames != 5 || *said.Width != 80 || said.Height != nil {
		t.Errorf("%d frames, %d wide", *said.Frames, *said.Width)
	}
	if n := (Request{Frames: ptr(11)}).Edit(changes, 64, 48, 11); *n.Frames != 9 {
		t.Errorf("11 frames of 11 become %d", *n.Frames)
	}
}

// TestEditsThatCannotBe wants the field and what is allowed.
func TestEditsThatCannotBe(t *testing.T) {
	changes, follows := taker(Takes{Video: true}), taker(Takes{Control: true})
	f := func(m Model, r Request, field, says string) {
		t.Helper()
		refused(t, m, r, field, says)
	}
	f(demo(), editing(33, RoleVideo), VideoField, "changes no videos")
	f(changes, editing(33, RoleVideo, RoleMask), MaskField, "takes no mask")
	f(follows, editing(33, RoleMask), MaskField, "there is none")
	f(changes, editing(5, RoleVideo), "num_frames", "up to the 5")
	f(follows, Request{Prompt: "a", Inputs: append(editing(33, RoleVideo).Inputs,
		editing(5, RoleMask).Inputs...)}, MaskField, "or the 33 frames")
	few := editing(33, RoleVideo)
	few.Strength, few.Steps = ptr(0.1), ptr(5)
	f(changes, few, StrengthField, "0.2 to 1, as less makes none of 5 steps")
	few.Steps = ptr(1)
	f(changes, few, StrengthField, "1 with a single step, or more steps")
	f(changes, Request{Prompt: "a", Strength: ptr(0.5)}, StrengthField, "without a video")
	scaled := editing(33, RoleVideo)
	scaled.ConditioningScale = ptr(1.0)
	f(changes, scaled, "conditioning_scale", "only a VACE model")
	strong := editing(33, RoleVideo)
	strong.Strength = ptr(0.5)
	f(follows, strong, StrengthField, "conditioning_scale")
	long := editing(49, RoleReference)
	long.Frames, long.Window, long.Overlap = ptr(49), ptr(9), ptr(3)
	f(follows, long, ReferenceField, "as a whole")
	f(follows, editing(0, make9(RoleReference)...), ReferenceField, "8 times")
	f(changes, editing(0, RoleVideo), VideoField, "1 to")
}

// make9 repeats a role more often than any field takes.
func make9(r Role) (out []Role) {
	for range 9 {
		out = append(out, r)
	}
	return out
}

// refused wants Resolve to blame a field.
func refused(t *testing.T, m Model, r Request, field, says string) {
	t.Helper()
	_, err := m.Resolve(r, nil)
	wrong, ok := err.(*FieldError)
	if !ok || wrong.Field != field || !strings.Contains(err.Error(), says) {
		t.Errorf("%v; want %s with %q", err, field, says)
	}
}
