package job

import (
	"reflect"
	"strings"
	"testing"
)

func TestPresetsFillWhatIsLeftOut(t *testing.T) {
	m := demo()
	s, err := m.Resolve(Request{Preset: "fastwan"}, nil)
	if err != nil || s.Steps != 3 || s.Scheduler != "dmd" || s.GuidanceScale != 1 || s.Guided() ||
		!reflect.DeepEqual(s.Timesteps, []float64{1000, 757, 522}) || len(s.Sigmas) != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := m.CheckSpec(s); err != nil {
		t.Error(err)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}

	// A model's own preset is there without a word, and goes with "none".
	own := m
	own.Defaults.Preset = "4step"
	s, err = own.Resolve(Request{}, nil)
	if err != nil || s.Preset != "4step" || s.Steps != 4 || s.Scheduler != "euler" {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = own.Resolve(Request{Preset: PresetNone}, nil)
	if err != nil || s.Steps != m.Defaults.Steps || s.Sigmas != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if own.Defaults.Preset = "5step"; own.Check() == nil {
		t.Error("a model has a preset that there is not")
	}

	// Remixes keep it, or take another.
	four, _ := m.Resolve(Request{Preset: "4step"}, nil)
	for _, r := range []Request{{Prompt: "x"}, {Preset: "fastwan"}, {Preset: PresetNone}} {
		want := r.Preset
		r.Inherit(m, four, ByRemix)
		if s, err := m.Resolve(r, nil); err != nil || want != "" && s.Preset != want ||
			want == "" && !reflect.DeepEqual(s.Sigmas, four.Sigmas) {
			t.Errorf("%q: %+v, %v", want, s, err)
		}
	}
}

func TestNoiseLevelsAreChecked(t *testing.T) {
	m, eight := demo(), 8
	for want, r := range map[string]Request{
		"falling noise levels":           {Sigmas: []float64{1, 0.5, 0.5}},
		"above 0":                        {Sigmas: []float64{1.5}},
		"noise levels, above 0":          {Sigmas: []float64{1, 1e-320}},
		"allowed: 4, as there are noise": {Preset: "4step", Steps: &eight},
		"unipc, euler; dmd needs":        {Scheduler: "dmd"},
		"euler, dmd, with given":         {Scheduler: "unipc", Sigmas: []float64{1}},
		"none, with sigmas":              {Preset: "4step", Sigmas: []float64{1}},
		"with sigmas":                    {Timesteps: []float64{1000}},
		"allowed: 4step, fastwan, none":  {Preset: "5step"},
		"windows, with the scheduler":    {Preset: "fastwan", Long: LongExtend},
	} {
		if _, err := m.Resolve(r, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	for text, n := range map[string]int{"1,0.5": 2, "[1, 0.5, 0.25]": 3, "[]": 0, "1": 1} {
		if v, ok := parseSigmas(text); !ok || len(v) != n {
			t.Errorf("%s: %v, %v", text, v, ok)
		}
	}
	for _, text := range []string{"[1", "x", "1,,2"} {
		if v, ok := parseSigmas(text); ok {
			t.Errorf("%s: %v", text, v)
		}
	}
}
