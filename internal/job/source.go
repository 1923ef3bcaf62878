package job

import (
	"fmt"

	"github.com/longtake/longtake/internal/partition"
)

// Source is what a clip goes on from: frames of its latent that are there before it is made, and
// stay as they are. The zero value is none.
type Source struct {
	Kind    SourceKind `json:"kind,omitempty"`
	Object  Object     `json:"object,omitzero"`
	Latents int        `json:"latents,omitempty"` // frames of the latent that are given
}

// SourceKind says what the bytes of a start are.
type SourceKind string

// The kinds: a latent as results keep it, or a picture (PNG, JPEG, WebP), which becomes the first
// latent frame.
const (
	SourceLatents SourceKind = "latents"
	SourceImage   SourceKind = "image"
)

// SourceField is what clients call a start.
const SourceField = "input_reference"

// checkStart wants a model that goes on from given latents, and a clip that is longer than those.
func (m Model) checkStart(s Spec) error {
	g := s.Source
	if g == (Source{}) {
		return nil
	}
	if g.Kind != SourceLatents && g.Kind != SourceImage {
		return &FieldError{SourceField, quote(string(g.Kind)), "latents, image"}
	}

	if err := g.Object.Check(); err != nil {
		return &FieldError{SourceField, err.Error(), "a stored object"}
	}

	switch {
	case !m.Extends:
		return &FieldError{SourceField, string(g.Kind),
			"none; this model was not trained to go on from given latents"}
	case s.Long != LongExtend:
		return &FieldError{"long", quote(string(s.Long)), "extend, for a clip that goes on from " +
			"what is given"}
	case g.Latents < 1 || g.Latents%m.Patch[0] != 0 || g.Kind == SourceImage && g.Latents != 1:
		return &FieldError{SourceField, fmt.Sprintf("%d latent frames", g.Latents),
			fmt.Sprintf("from 1, 1 for an image, divisible by %d", m.Patch[0])}
	case g.Latents >= m.Latents(s.Frames):
		return &FieldError{"num_frames", number(s.Frames), fmt.Sprintf("more than the %d that are "+
			"given, such as %d", m.frames(g.Latents), m.frames(g.Latents+m.Patch[0]))}
	}
	return nil
}

// frames is the inverse of Latents.
func (m Model) frames(latents int) int { return (latents-1)*m.TemporalScale + 1 }

// blocks counts the windows of an extended clip, which are made one after the other behind what is
// given. It counts in latent frames; a patch may span several, but divides all of them.
func (m Model) blocks(s Spec) int {
	return partition.Timeline{Frames: m.Latents(s.Frames), Window: s.Window, Overlap: s.Overlap,
		Extend: true, Given: s.Source.Latents}.Count()
}
