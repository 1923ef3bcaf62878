package job

import (
	"strings"
	"testing"
)

func TestStepCacheIsReadAndRefused(t *testing.T) {
	f, _ := LookupField("step_cache")
	for text, want := range map[string]float64{"off": 0, "0": 0, "0.1": 0.1, " 1 ": 1} {
		var r Request
		if err := f.Set(&r, text); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if s, err := demo().Resolve(r, nil); err != nil || s.StepCache != want {
			t.Errorf("%q: %v, %v", text, s.StepCache, err)
		}
	}
	if err := f.Set(&Request{}, "on"); err == nil || !strings.Contains(err.Error(),
		`step_cache is "on"; allowed: off, or a number above 0, up to 1`) {
		t.Error(err)
	}

	at := func(r Request, threshold float64) Request {
		r.StepCache = &threshold
		return r
	}
	causal := long()
	causal.Causal = &Causal{Block: 3, Window: 9, Timesteps: []float64{1000, 500}, Shift: 5}
	for _, c := range []struct {
		m    Model
		r    Request
		says string // "": it is allowed
	}{
		{demo(), at(Request{}, 1.5), "step_cache is 1.5; allowed: off, or above 0, up to 1"},
		{demo(), at(Request{}, -0.1), "allowed: off, or above 0, up to 1"},
		{demo(), at(Request{Preset: "fastwan"}, 0.1), "off; each of dmd's steps"},
		{demo(), at(Request{Preset: "4step"}, 0.1), ""},
		{causal, at(Request{Long: LongCausal, Frames: ptr(33)}, 0.1), "off; each block of a causal"},
		{causal, at(Request{Long: LongCausal, Frames: ptr(33)}, 0), ""},
		{long(), at(Request{Schedule: ScheduleUniform, Frames: ptr(41)}, 0.1), "off; with window_sch"},
		{long(), at(Request{Schedule: ScheduleUniform, Frames: ptr(33)}, 0.1), ""},
		{long(), at(Request{Long: LongExtend, Schedule: ScheduleUniform, Frames: ptr(41)}, 0.1), ""},
		{long(), at(Request{Frames: ptr(41)}, 0.1), ""},
	} {
		_, err := c.m.Resolve(c.r, nil)
		if c.says == "" && err != nil || c.says != "" && (err == nil ||
			!strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %v, want %q", c.r, err, c.says)
		}
	}
}
