package job

import (
	"strings"
	"testing"
)

// extender is a model that goes on from given latents.
func extender() Model {
	m := demo()
	m.Extends, m.Defaults.Window, m.Defaults.Overlap = true, 9, 3
	return m
}

func start(kind SourceKind, latents int) Source {
	return Source{kind, Object{Name: "o", Size: 1, SHA256: strings.Repeat("0", 64)}, latents}
}

func TestClipsWithAStartAreExtended(t *testing.T) {
	f := func(frames, given, window, overlap, blocks int) {
		t.Helper()
		s, err := extender().Resolve(Request{Frames: &frames, Source: start(SourceLatents, given)}, nil)
		if err != nil || s.Long != LongExtend || s.Window != window || s.Overlap != overlap ||
			s.Blocks != blocks || s.Source.Latents != given {
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
	good := start(SourceLatents, 2)
	f(demo(), Request{Source: good}, "input_reference", "was not trained")
	f(extender(), Request{Source: good, Frames: ptr(5)}, "num_frames", "more than the 5 that are given")
	f(extender(), Request{Source: good, Long: LongWindows}, "long", "extend")
	f(extender(), Request{Source: start("sound", 1)}, "input_reference", "latents, image")
	f(extender(), Request{Source: start(SourceImage, 2)}, "input_reference", "1 for an image")
	f(extender(), Request{Source: start(SourceLatents, 0)}, "input_reference", "from 1")
	f(extender(), Request{Source: Source{Kind: SourceImage, Latents: 1}}, "input_reference", "object")
	f(extender(), Request{Source: good, Frames: ptr(61), Overlap: ptr(0)}, "overlap", "1 to 8")
}
