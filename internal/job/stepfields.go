package job

import (
	"slices"
	"strings"
)

// stepCache is a threshold; in a spec 0 stands for none.
var stepCache = kind[float64]{written: form{TypeNumber, "off, or a number above 0, up to 1"},
	parse: func(t string) (float64, bool) {
		if strings.TrimSpace(t) == "off" {
			return 0, true
		}
		return parseFloat(t)
	},
	show: func(v float64) string {
		if v == 0 {
			return "off"
		}
		return shownFloat(v)
	}}

// refusesStepCache says why the steps of some clips cannot be skipped.
func refusesStepCache(m Model, s Spec) string {
	switch {
	case s.StepCache == 0:
		return ""
	case m.inBlocks(s):
		return "off; each block of a causal clip has a few steps, which differ"
	case s.Scheduler == "dmd":
		return "off; each of dmd's steps begins from fresh noise"
	case s.Schedule == ScheduleUniform && s.Long != LongExtend && windowed(m, s):
		return "off; with window_schedule uniform, a window has other frames at each step"
	}
	return ""
}

// stepFields are schedules that are given step by step, as distilled models need them.
var stepFields = []Field{
	// Few steps: a preset is a name for noise levels and what goes with them.
	{
		Name: "preset", Flag: "preset", Inherits: ByBoth, Unless: []string{"sigmas",
			"num_inference_steps", "scheduler"},
		Help: "schedule that a model or LoRA was distilled for: 4step (lightx2v), fastwan, or none",
		Doc: "schedule of a [distilled](few-steps.md) model or LoRA: `4step`, `fastwan`, or `none` in " +
			"place of the model's own",
		value: slot[string]{kind: names[string](),
			in:  plain(func(r *Request) *string { return &r.Preset }),
			out: func(s *Spec) *string { return &s.Preset },
			def: func(m Model, r *Request) string { return m.ownPreset(r) },
			limit: limit[string]{strings.Join(presetNames(), ", "), func(v string) bool {
				return v == "" || slices.Contains(presetNames(), v)
			}}},
	},
	{
		Name: "sigmas", Flag: "sigmas", Inherits: ByBoth, Unless: []string{"preset",
			"num_inference_steps", "scheduler"},
		When: func(_ Model, s Spec) bool { return s.Preset == "" },
		Help: "noise levels of the steps, such as 1,0.94,0.83,0.63, as they are: no shift is applied",
		Doc: "[noise levels](few-steps.md) of the steps, falling, above 0, up to 1, for `euler` or " +
			"`dmd`; no shift is applied",
		value: slot[[]float64]{kind: sigmas,
			in: place[[]float64]{put: func(r *Request, v []float64) { r.Sigmas = v },
				has: func(r *Request) ([]float64, bool) { return r.Sigmas, len(r.Sigmas) > 0 }},
			out: func(s *Spec) *[]float64 { return &s.Sigmas },
			def: func(m Model, r *Request) []float64 { v, _ := m.levels(r); return v }},
	},
	{
		Name: "timesteps", Flag: "timesteps", Inherits: ByBoth, Unless: []string{"preset",
			"num_inference_steps", "scheduler", "sigmas"},
		When: func(_ Model, s Spec) bool { return s.Preset == "" },
		Help: "what the model is told at each of --sigmas, if not 1000 times that",
		Doc:  "what the model is told at each of `sigmas`, if not 1000 times that",
		value: slot[[]float64]{kind: sigmas,
			in: place[[]float64]{put: func(r *Request, v []float64) { r.Timesteps = v },
				has: func(r *Request) ([]float64, bool) { return r.Timesteps, len(r.Timesteps) > 0 }},
			out: func(s *Spec) *[]float64 { return &s.Timesteps },
			def: func(m Model, r *Request) []float64 { _, v := m.levels(r); return v }},
	},
	{
		Name: "step_cache", Mistaken: []string{"cache", "teacache", "cache_threshold"},
		Flag: "step-cache", Inherits: ByBoth,
		Help: "skip steps at which little changes: off, or a threshold such as 0.1 (more skips more)",
		Doc: "`off`, or above 0, up to 1: [skips steps](few-steps.md#skipped-steps) at which little " +
			"changes, as TeaCache does, which changes the clip",
		Refuses: refusesStepCache,
		value: slot[float64]{kind: stepCache,
			in:  optional(func(r *Request) **float64 { return &r.StepCache }),
			out: func(s *Spec) *float64 { return &s.StepCache },
			limit: limit[float64]{"off, or above 0, up to 1",
				func(v float64) bool { return v >= 0 && v <= 1 }}},
	},
}
