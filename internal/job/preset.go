package job

import (
	"fmt"
	"slices"
	"strings"
)

// Preset is a way to denoise in few steps that models were distilled for: whatever a request leaves
// out is as here.
type Preset struct {
	Name      string
	Scheduler string
	// Sigmas are the noise levels of the steps, and Timesteps what the model is told at each; nil:
	// the levels times 1000.
	Sigmas, Timesteps []float64
	GuidanceScale     float64
}

// PresetNone turns a model's own preset off.
const PresetNone = "none"

// Presets lists them all.
var Presets = []Preset{
	// lightx2v's step distillation, its Lightning LoRAs for Wan 2.1 and 2.2: the levels 1, 3/4, 1/2
	// and 1/4 with a shift of 5. In a model of two experts two steps are of each.
	{Name: "4step", Scheduler: "euler", GuidanceScale: 1,
		Sigmas: []float64{1, 0.9375, 5.0 / 6, 0.625}},
	// FastVideo's FastWan (DMD): the levels nearest to its timesteps among 1000 with a shift of 8.
	{Name: "fastwan", Scheduler: "dmd", GuidanceScale: 1,
		Sigmas:    []float64{1, 2.24 / 2.96, 0.96 / 1.84},
		Timesteps: []float64{1000, 757, 522}},
}

// presetNames lists what a request may name.
func presetNames() (names []string) {
	for _, p := range Presets {
		names = append(names, p.Name)
	}
	return append(names, PresetNone)
}

// preset returns that of a request, or the model's own; nil: none. Noise levels of the request's
// own take its place.
func (m Model) preset(r *Request) *Preset {
	name := r.Preset
	if name == "" && len(r.Sigmas)+len(r.Timesteps) == 0 && m.causal(r) == nil {
		name = m.Defaults.Preset
	}
	i := slices.IndexFunc(Presets, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &Presets[i]
}

// ownPreset names the preset of a request that names none.
func (m Model) ownPreset(r *Request) string {
	if p := m.preset(r); p != nil {
		return p.Name
	}
	return ""
}

// levels are the noise levels that a request asks for, by itself or by a preset; nil: those of the
// scheduler.
func (m Model) levels(r *Request) (sigmas, timesteps []float64) {
	if p := m.preset(r); p != nil {
		return p.Sigmas, p.Timesteps
	}
	return r.Sigmas, r.Timesteps
}

// scheduler is that of a request that names none.
func (m Model) scheduler(r *Request) string {
	sigmas, _ := m.levels(r)
	switch p := m.preset(r); {
	case p != nil:
		return p.Scheduler
	case len(sigmas) > 0:
		return "euler"
	case m.Defaults.Scheduler == "":
		return "unipc"
	}
	return m.Defaults.Scheduler
}

// checkLevels wants as many noise levels as steps, falling, for a scheduler that takes them. It
// holds for every model.
func (s Spec) checkLevels() error {
	if s.Scheduler == "dmd" {
		switch {
		case len(s.Sigmas) == 0:
			return &FieldError{"scheduler", `"dmd"`, "unipc, euler; dmd needs a preset, or sigmas"}
		case s.Long == LongExtend:
			return &FieldError{"long", `"extend"`, "windows, with the scheduler dmd"}
		case s.Skipped() > 0:
			return &FieldError{StrengthField, fmt.Sprint(s.Strength), "1, with the scheduler dmd"}
		}
	}

	// Without levels of its own a clip has those of its scheduler.
	if len(s.Sigmas) == 0 {
		if len(s.Timesteps) > 0 {
			return &FieldError{"timesteps", "given alone", "with sigmas"}
		}
		return nil
	}

	switch {
	case s.Scheduler != "euler" && s.Scheduler != "dmd":
		return &FieldError{"scheduler", quote(s.Scheduler), "euler, dmd, with given noise levels"}
	case len(s.Sigmas) != s.Steps:
		return &FieldError{"num_inference_steps", number(s.Steps),
			fmt.Sprintf("%d, as there are noise levels", len(s.Sigmas))}
	case len(s.Timesteps) != 0 && len(s.Timesteps) != s.Steps:
		return &FieldError{"timesteps", fmt.Sprintf("%d values", len(s.Timesteps)), number(s.Steps)}
	}

	for i, v := range s.Sigmas {
		// The scheduler has them in 32 bits, in which small ones are 0.
		if !(float32(v) > 0 && v <= 1) || i > 0 && float32(v) >= float32(s.Sigmas[i-1]) {
			return &FieldError{"sigmas", fmt.Sprint(s.Sigmas), "falling noise levels, above 0, up to 1"}
		}
	}

	for _, v := range s.Timesteps {
		if !(v >= 0 && v <= 1e6) {
			return &FieldError{"timesteps", fmt.Sprint(s.Timesteps), "0 to 1000000"}
		}
	}
	return nil
}

// parseSigmas reads a list of numbers, as JSON or separated by commas.
func parseSigmas(text string) (out []float64, ok bool) {
	text = strings.TrimSpace(text)
	if inner, found := strings.CutPrefix(text, "["); found {
		if text, found = strings.CutSuffix(inner, "]"); !found {
			return nil, false
		}
	}
	if strings.TrimSpace(text) == "" {
		return nil, true
	}

	for one := range strings.SplitSeq(text, ",") {
		v, ok := parseFloat(one)
		if !ok || len(out) == StepsLimit {
			return nil, false
		}
		out = append(out, v)
	}
	return out, true
}

// checkPreset wants a model's preset to be one of the list.
func (m Model) checkPreset() error {
	if p := m.Defaults.Preset; p != "" && !slices.Contains(presetNames(), p) {
		return fmt.Errorf("preset is %.64q; allowed: %s", p, strings.Join(presetNames(), ", "))
	}
	return nil
}
