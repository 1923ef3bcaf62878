package job

import (
	"fmt"
	"slices"
)

// Resolve fills r's gaps with m's defaults (a nil Seed becomes 0), takes the nearest count of
// frames that the model makes, and checks every field. meshes judges a mesh that r asks for (the
// planner's Check); nil skips it. The first field that is wrong comes back as a *FieldError, with
// its name as in JSON.
func (m Model) Resolve(r Request, meshes func(Spec, Mesh) error) (Spec, error) {
	r, err := r.Settle(m)
	if err != nil {
		return Spec{}, err
	}
	if len(r.Key) > KeyLimit {
		return Spec{}, &FieldError{"key", number(len(r.Key)) + " bytes",
			fmt.Sprintf("up to %d bytes", KeyLimit)}
	}

	s := m.fill(r)
	if m.inBlocks(s) && r.Scheduler != "" {
		return Spec{}, &FieldError{"scheduler", quote(r.Scheduler),
			"left out; causal models have steps of their own"}
	}

	if m.inBlocks(s) && (r.Preset != "" || len(r.Sigmas) > 0) {
		return Spec{}, &FieldError{"preset", "given, or sigmas",
			"left out; causal models have steps of their own"}
	}
	if r.Preset != "" && len(r.Sigmas)+len(r.Timesteps) > 0 {
		return Spec{}, &FieldError{"preset", quote(r.Preset), "none, with sigmas or timesteps"}
	}
	if r.Window != nil {
		m.Defaults.Window = *r.Window // so that the limits of a clip's frames are those of its windows
	}

	// What was asked for is told, unless it was a duration, which is told in its own words.
	if n := m.nearest(s); n != s.Frames {
		if s.SecondsAsked == "" {
			s.FramesAsked = s.Frames
		}
		s.Frames = n
	}
	if err := s.stage(r.Scenes); err != nil {
		return Spec{}, err
	}
	if err := m.resolveLoRAs(&s); err != nil {
		return Spec{}, err
	}
	for _, check := range m.checks() {
		if err := check(s); err != nil {
			return Spec{}, err
		}
	}

	s = m.whole(s)
	for _, notice := range []string{m.strangeWords(s), m.slowType(s)} {
		if notice != "" && len(s.Notes) < NotesLimit {
			s.Notes = append(slices.Clip(s.Notes), notice)
		}
	}
	if s.Mesh != (Mesh{}) && meshes != nil {
		if err := meshes(s, s.Mesh); err != nil {
			return Spec{}, &FieldError{"mesh", s.Mesh.String(), err.Error()}
		}
	}
	return s, nil
}

// checks are what a spec has to pass, in the order in which clients are told: first what each
// field may be, then what the model makes of them together.
func (m Model) checks() []func(Spec) error {
	return []func(Spec) error{
		Spec.checkInputs, m.checkTexts, m.checkSize, checkFields, m.checkCausal, Spec.checkLevels,
		m.checkWindow, m.checkFrames, m.checkStart, m.checkLast, m.checkEdit, m.checkLoRAs,
		m.checkWindows, m.checkLatent, m.checkRefused, checkMesh, Spec.checkScenes,
	}
}

// fill makes a spec of what r says and of m's defaults, unchecked.
func (m Model) fill(r Request) Spec {
	s := Spec{Inputs: r.Inputs, RemixOf: r.RemixOf, ModelAsked: r.ModelAsked,
		SecondsAsked: r.SecondsAsked, Notes: r.Notes}
	for _, f := range Fields {
		if f.value != nil {
			f.value.fill(m, &r, &s)
		}
	}
	return s
}
