package job

import (
	"slices"
	"strings"
)

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
}
