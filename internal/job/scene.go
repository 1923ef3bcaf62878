package job

import (
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"
)

// Limits of a storyboard.
const (
	ScenesLimit     = 64
	SceneTextsLimit = 65536 // bytes of all its prompts
)

// Scene is what a clip shows from a time on, until the next scene.
type Scene struct {
	Start  float64 `json:"start"` // seconds from the clip's beginning
	Prompt string  `json:"prompt"`
}

// Equal reports whether s and t ask for the same clip in the same way.
func (s Spec) Equal(t Spec) bool { return reflect.DeepEqual(s, t) }

// stage lays a storyboard out: scenes from 0 on, the first one's prompt being the spec's. A single
// scene is a prompt.
func (s *Spec) stage(scenes []Scene) error {
	if len(scenes) == 0 {
		return nil
	}
	first := scenes[0]
	switch {
	case first.Start == 0 && s.Prompt != "" && s.Prompt != first.Prompt:
		return &FieldError{"storyboard", "a scene at 0 s and a prompt", "one of them"}
	case first.Start == 0:
		s.Prompt = first.Prompt
	case s.Prompt == "" && first.Start > 0:
		return &FieldError{"storyboard", fmt.Sprintf("without a scene before %g s", first.Start),
			"a scene at 0 s, or a prompt, which is that scene"}
	}

	all := make([]Scene, 0, len(scenes)+1)
	if first.Start > 0 {
		all = append(all, Scene{Prompt: s.Prompt})
	}
	if all = append(all, scenes...); len(all) > 1 || first.Start != 0 {
		s.Scenes = all
	}
	return nil
}

// checkScenes wants them in order, within the clip and the limits.
func (s Spec) checkScenes() error {
	wrong := func(allowed, format string, args ...any) error {
		return &FieldError{"storyboard", fmt.Sprintf(format, args...), allowed}
	}
	if n := len(s.Scenes); n > ScenesLimit {
		return wrong(fmt.Sprintf("up to %d", ScenesLimit), "%d scenes", n)
	}

	length, bytes, before := s.FPS.Seconds(s.Frames), 0, math.Inf(-1)
	for _, c := range s.Scenes {
		bytes += len(c.Prompt)
		switch {
		case !(c.Start >= 0):
			return wrong("from 0", "a scene at %g s", c.Start)
		case c.Start <= before:
			return wrong("ascending times", "a scene at %g s after one at %g s", c.Start, before)
		case c.Start >= length:
			return wrong(fmt.Sprintf("below the clip's end, %g s", length), "a scene at %g s", c.Start)
		case len(c.Prompt) > PromptLimit:
			return wrong(fmt.Sprintf("up to %d bytes", PromptLimit), "a scene at %g s of %d bytes",
				c.Start, len(c.Prompt))
		case bytes > SceneTextsLimit:
			return wrong(fmt.Sprintf("up to %d bytes", SceneTextsLimit), "prompts of over %d bytes",
				SceneTextsLimit)
		case !utf8.ValidString(c.Prompt):
			return wrong("valid UTF-8", "a scene at %g s that is not UTF-8", c.Start)
		}
		before = c.Start
	}
	return nil
}
