package job

import (
	"cmp"
	"fmt"
)

// long is how a request has long clips made: what goes on from a start has one way.
func (m Model) long(r *Request) Long {
	start, _ := inputOf(r.Inputs, RoleStart)
	switch {
	case r.Long == "" && start.Latents > 0 && m.Extends:
		return LongExtend
	case r.Long == "" && m.Causal != nil:
		return LongCausal // it was trained for nothing else
	}
	return cmp.Or(r.Long, LongWindows)
}

// refusesLong says what is allowed in place of a way that the model was not trained for.
func (m Model) refusesLong(s Spec) string {
	switch {
	case s.Long == LongExtend && !m.Extends:
		return "windows; this model was not trained to go on from given latents"
	case s.Long == LongCausal && m.Causal == nil:
		return "windows; a clip is made block by block only by a model that was trained for it, whose " +
			"folder says so in longtake.json, such as " + CausalExample
	}
	return ""
}

// overlap is that of the model's windows, or where a request has windows of its own the same share
// of them. It is rounded down to whole patches, in latent frames.
func (m Model) overlap(r *Request) int {
	d := m.Defaults
	if m.causal(r) != nil {
		return 0
	}
	if r.Window == nil || d.Window == 0 {
		return d.Overlap
	}
	n := min(max(*r.Window, 0), d.Window) * d.Overlap / d.Window
	return n - n%m.Patch[0]
}

// whole takes out what means nothing for a clip that is denoised as a whole. After a start, one
// window has all that is given.
func (m Model) whole(s Spec) Spec {
	if m.inBlocks(s) {
		return m.layBlocks(s)
	}
	if t := m.Latents(s.Frames); s.Window == 0 || s.Window >= t {
		s.Window, s.Overlap, s.Schedule = 0, 0, ""
		if given := s.Given(); given == 0 || s.Long != LongExtend {
			s.Long = ""
		} else {
			s.Window, s.Overlap = t, given
		}
	}
	if s.Long == LongExtend {
		s.Schedule, s.Blocks = "", m.blocks(s)
	}
	return s
}

// checkWindow wants a window that the model can denoise.
func (m Model) checkWindow(s Spec) error {
	if m.inBlocks(s) {
		return nil // see checkCausal
	}
	pt, top := m.Patch[0], m.Latents(m.framesAtOnce())
	if s.Window < 0 || s.Window > top || s.Window%pt != 0 {
		return &FieldError{"window", number(s.Window),
			fmt.Sprintf("0 (the clip as a whole) to %d latent frames", top) + divisible(pt)}
	}
	if s.Overlap < 0 { // also of a clip that needs no windows
		return &FieldError{"overlap", number(s.Overlap), "0 or more latent frames"}
	}
	return nil
}

// checkWindows wants windows that make the clip, or a clip that can be denoised as a whole. The
// limit on tokens is for what is denoised at once, since that is what attention has to hold.
func (m Model) checkWindows(s Spec) error {
	t, pt := m.Latents(s.Frames), m.Patch[0]
	least, atOnce := 0, t
	if s.Long == LongExtend {
		least = pt
	}

	if m.inBlocks(s) {
		atOnce = min(s.Window, t)
	} else if s.Window > 0 && s.Window < t {
		atOnce = s.Window
		if s.Overlap < least || s.Overlap >= s.Window || s.Overlap%pt != 0 {
			return &FieldError{"overlap", number(s.Overlap), fmt.Sprintf("%d to %d latent frames "+
				"for windows of %d", least, s.Window-pt, s.Window) + divisible(pt)}
		}
	}

	if n := m.tokens(atOnce, s.Height, s.Width); m.MaxTokens > 0 && n > m.MaxTokens {
		return &FieldError{"num_frames x size", fmt.Sprintf("%d tokens at once", n),
			fmt.Sprintf("up to %d tokens, so fewer frames, smaller windows or a smaller size",
				m.MaxTokens)}
	}
	return nil
}

// divisible says what counts of latent frames patches of pt of them can tile.
func divisible(pt int) string {
	if pt == 1 {
		return ""
	}
	return fmt.Sprintf(", divisible by %d", pt)
}
