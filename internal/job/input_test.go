package job

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// extender is a model that goes on from given latents.
func extender() Model {
	m := demo()
	m.Extends, m.Defaults.Window, m.Defaults.Overlap = true, 9, 3
	return m
}

// start is something that a clip goes on from.
func start(kind InputKind, latents int) []Input {
	return []Input{{Role: RoleStart, Kind: kind, Latents: latents,
		Object: Object{Name: "o", Size: 1, SHA256: strings.Repeat("0", 64)}}}
}

func TestClipsWithAStartAreExtended(t *testing.T) {
	f := func(frames, given, window, overlap, blocks int) {
		t.Helper()
		s, err := extender().Resolve(Request{Frames: &frames, Inputs: start(KindLatents, given)}, nil)
		if err != nil || s.Long != LongExtend || s.Window != window || s.Overlap != overlap ||
			s.Blocks != blocks || s.Given() != given {
			t.Errorf("%d frames after %d latents: %+v, %v", frames, given, s, err)
		}
	}
	f(9, 1, 3, 1, 1)    // one window, which has all that is given
	f(33, 4, 9, 4, 1)   // the same
	f(37, 9, 9, 3, 1)   // 10 latents: a window from 6 on
	f(61, 9, 9, 3, 2)   // 16 latents: 6..15, 12..16
	f(61, 1, 9, 3, 3)   // 0..9, 6..15, 12..16
	f(101, 15, 9, 3, 2) // 26 latents: 12..21, 18..26
}

func TestStartsAreRefused(t *testing.T) {
	f := func(m Model, r Request, field, says string) {
		t.Helper()
		_, err := m.Resolve(r, nil)
		e, ok := err.(*FieldError)
		if !ok || e.Field != field || !strings.Contains(e.Error(), says) {
			t.Errorf("%v; want %s, %q", err, field, says)
		}
	}
	good := start(KindLatents, 2)
	f(demo(), Request{Inputs: good}, "input_reference", "was not trained")
	f(extender(), Request{Inputs: good, Frames: ptr(5)}, "num_frames", "more than the 5 that are given")
	f(extender(), Request{Inputs: good, Long: LongWindows}, "long", "extend")
	f(extender(), Request{Inputs: start("sound", 1)}, "input_reference", "latents, image")
	f(extender(), Request{Inputs: start(KindImage, 2)}, "input_reference", "1 for an image")
	f(extender(), Request{Inputs: start(KindLatents, 0)}, "input_reference", "from 1")
	f(extender(), Request{Inputs: []Input{{Role: RoleStart, Kind: KindImage, Latents: 1}}},
		"input_reference", "object")
	f(extender(), Request{Inputs: good, Frames: ptr(61), Overlap: ptr(0)}, "overlap", "1 to 8")
}

// TestOldSpecsHaveAStart reads a spec as it was written when a clip had one input, and writes it as
// it is written now.
func TestOldSpecsHaveAStart(t *testing.T) {
	sum := strings.Repeat("0", 64)
	object := `"object":{"name":"o","size":1,"sha256":"` + sum + `"}`
	var r Record
	err := json.Unmarshal([]byte(`{"id": "a", "spec": {"prompt": "b", "seed": 7, "start":
		{"kind": "latents", `+object+`, "latents": 3}}}`), &r)
	s := r.Spec
	if err != nil || !slices.Equal(s.Inputs, start(KindLatents, 3)) || s.Given() != 3 || s.Seed != 7 {
		t.Fatalf("%+v, %v", s, err)
	}

	text, err := json.Marshal(s)
	var again Spec
	if err != nil || json.Unmarshal(text, &again) != nil || !again.Equal(s) ||
		!strings.Contains(string(text), `"inputs":[{"role":"start","kind":"latents",`) {
		t.Errorf("%s, %v", text, err)
	}
	if err := json.Unmarshal([]byte(`{"seed": "seven"}`), &s); err == nil {
		t.Error("a wrong type was read")
	}
}

// TestInputsAreBounded in their roles, their number, and what they say they give.
func TestInputsAreBounded(t *testing.T) {
	f := func(field string, all ...Input) {
		t.Helper()
		e, ok := Spec{Inputs: all}.checkInputs().(*FieldError)
		if ok != (field != "") || ok && e.Field != field {
			t.Errorf("%+v: %v; want one about %q", all, e, field)
		}
	}
	in := start(KindImage, 0)[0]
	last, other, negative := in, in, in
	last.Role, other.Role, negative.Latents = RoleLast, "sound", -1
	f("")
	f("", in, last)
	f("input_reference", in, last, in)
	f("inputs", other)
	f("input_reference", negative)
	f("last_image", Input{Role: RoleLast, Kind: KindImage})
	if _, err := extender().Resolve(Request{Inputs: []Input{last}}, nil); err == nil ||
		!strings.Contains(err.Error(), "last_image is given; allowed: none") {
		t.Errorf("a last picture: %v", err)
	}
}
