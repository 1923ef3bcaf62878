package job

import (
	"fmt"
	"unicode/utf8"
)

// checkTexts wants the served model, and texts that can be stored.
func (m Model) checkTexts(s Spec) error {
	if s.Model != m.Name {
		return &FieldError{"model", quote(s.Model), quote(m.Name)}
	}
	return checkPrompts(s)
}

// checkPrompts bounds the prompts of a clip; those of scenes are bounded by checkScenes.
func checkPrompts(s Spec) error {
	for _, p := range [][2]string{{"prompt", s.Prompt}, {"negative_prompt", s.NegativePrompt}} {
		if len(p[1]) > PromptLimit {
			return &FieldError{p[0], number(len(p[1])) + " bytes", "up to 32768 bytes"}
		}
		if !utf8.ValidString(p[1]) {
			return &FieldError{p[0], "not UTF-8", "valid UTF-8"}
		}
	}
	return checkAsked(s)
}

// checkAsked bounds what is kept of a client's words; the API has read them.
func checkAsked(s Spec) error {
	const most = 256 // bytes
	if len(s.ModelAsked) > most || !utf8.ValidString(s.ModelAsked) {
		return &FieldError{"model", quote(s.ModelAsked), "up to 256 bytes of UTF-8"}
	}
	if len(s.RemixOf) > most || !utf8.ValidString(string(s.RemixOf)) {
		return &FieldError{"remixed_from", quote(string(s.RemixOf)), "up to 256 bytes of UTF-8"}
	}
	if len(s.SecondsAsked) > most || !utf8.ValidString(s.SecondsAsked) {
		return &FieldError{"seconds", quote(s.SecondsAsked), "up to 256 bytes of UTF-8"}
	}

	if len(s.Notes) > NotesLimit {
		return &FieldError{"notes", number(len(s.Notes)), fmt.Sprintf("up to %d", NotesLimit)}
	}
	for _, n := range s.Notes {
		if len(n) > NoteLimit || !utf8.ValidString(n) {
			return &FieldError{"notes", quote(n), fmt.Sprintf("up to %d bytes of UTF-8", NoteLimit)}
		}
	}
	return nil
}
