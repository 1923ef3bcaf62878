package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/partition"
)

// Input is one thing, besides words, that a clip is made from: a stored object, and its role.
type Input struct {
	Role   Role      `json:"role"`
	Kind   InputKind `json:"kind"`
	Object Object    `json:"object"`
	// Latents counts the frames of the clip's latent that the input gives: they are there before the
	// clip is made, and stay as they are. 0: it gives none, and the model looks at it instead.
	Latents int `json:"latents,omitempty"`
	// Frames counts those of KindFrames, at the clip's rate; a mask of one is for all frames.
	Frames int `json:"frames,omitempty"`
	// Shape is that of an initial latent, [channels, frames, height, width]; zero for all else.
	Shape [4]int `json:"shape,omitzero"`
}

// Role says what an input is for. A spec has one input of a role, unless the role's field takes
// many; those keep their order.
type Role string

// The roles: what the clip begins with, and the picture that it ends with.
const (
	RoleStart Role = "start"
	RoleLast  Role = "last"
	RoleLoRA  Role = "lora" // a file that changes the model's weights
)

// InputKind says what the bytes of an input are.
type InputKind string

// The kinds: a latent as results keep it, or a picture (PNG, JPEG, WebP).
const (
	KindLatents InputKind = "latents"
	KindImage   InputKind = "image"
	KindLoRA    InputKind = "lora" // safetensors of changes to weights
)

// What clients call a start, and a last picture.
const (
	StartField = "input_reference"
	LastField  = "last_image"
)

// Field returns the field that brings inputs of the role, by whose name errors call them; ok is
// false if there is none.
func (r Role) Field() (f Field, ok bool) {
	i := slices.IndexFunc(Fields, func(f Field) bool { return f.Role == r && r != "" })
	if i < 0 {
		return Field{}, false
	}
	return Fields[i], true
}

// FilesMax is how many files the field takes; 0 for one that is no file.
func (f Field) FilesMax() int {
	if f.Role == "" {
		return 0
	}
	return max(1, f.Many)
}

// Input returns the input of a role, and whether there is one.
func (s Spec) Input(r Role) (Input, bool) { return inputOf(s.Inputs, r) }

// Given returns how many latent frames are there before the clip is made: those it begins with.
func (s Spec) Given() int {
	in, _ := s.Input(RoleStart)
	return in.Latents
}

// inputOf finds the input of a role.
func inputOf(all []Input, r Role) (Input, bool) {
	i := slices.IndexFunc(all, func(in Input) bool { return in.Role == r })
	if i < 0 {
		return Input{}, false
	}
	return all[i], true
}

// UnmarshalJSON implements json.Unmarshaler. It also reads specs from before there were several
// inputs, which have what the clip starts from under "start".
func (s *Spec) UnmarshalJSON(data []byte) error {
	type plain Spec
	old := struct {
		*plain
		Start *Input `json:"start"`
	}{plain: (*plain)(s)}
	if err := json.Unmarshal(data, &old); err != nil {
		return err
	}
	if old.Start != nil {
		old.Start.Role = RoleStart
		s.Inputs = append(s.Inputs, *old.Start)
	}
	return nil
}

// checkInputs wants stored objects in roles that there are, no more of each than its field takes.
// It holds for every model.
func (s Spec) checkInputs() error {
	of := map[Role]int{}
	for _, in := range s.Inputs {
		f, ok := in.Role.Field()
		if !ok {
			return &FieldError{"inputs", "one of role " + quote(string(in.Role)),
				"start, last, lora, latent, video, mask, reference"}
		}
		if of[in.Role]++; of[in.Role] > f.FilesMax() {
			return &FieldError{f.Name, "given too often", fmt.Sprintf("%d times", f.FilesMax())}
		}

		if err := in.Object.Check(); err != nil {
			return &FieldError{f.Name, err.Error(), "a stored object"}
		}
		if frames := in.Kind == KindFrames; frames != (in.Frames > 0) || in.Frames > FramesLimit {
			return &FieldError{f.Name, fmt.Sprintf("%d frames of kind %.32q", in.Frames, in.Kind),
				fmt.Sprintf("1 to %d of kind frames", FramesLimit)}
		}
		if err := in.checkShape(); err != nil {
			return err
		}
		if in.Latents < 0 || in.Latents > FramesLimit {
			return &FieldError{f.Name, fmt.Sprintf("%d latent frames", in.Latents),
				fmt.Sprintf("0 to %d", FramesLimit)}
		}
	}
	return nil
}

// checkStart wants a start that the model takes, and a clip that is longer than what it gives.
func (m Model) checkStart(s Spec) error {
	g, ok := s.Input(RoleStart)
	if !ok {
		if m.Takes.NeedsImage {
			return &FieldError{StartField, "missing", "a picture, from which this model makes its clips"}
		}
		return nil
	}
	if g.Kind != KindLatents && g.Kind != KindImage {
		return &FieldError{StartField, quote(string(g.Kind)), "latents, image"}
	}

	if allowed := m.Refuses(RoleStart); allowed != "" {
		return &FieldError{StartField, string(g.Kind), allowed}
	}
	if g.Kind == KindLatents && (!m.Extends || m.Takes.Condition > 0) {
		return &FieldError{StartField, string(g.Kind),
			"a picture; this model was not trained to go on from given latents"}
	}
	if n := m.PictureLatents(RoleStart); g.Kind == KindImage && g.Latents != n {
		return &FieldError{StartField, fmt.Sprintf("%d latent frames", g.Latents),
			fmt.Sprintf("%d for an image", n)}
	}
	return m.checkGiven(s, g)
}

// checkGiven wants latent frames that windows can begin with, and a clip that has more.
func (m Model) checkGiven(s Spec, g Input) error {
	none := g.Kind == KindImage && g.Latents == 0
	switch {
	case none:
		return nil
	case g.Latents < 1 || g.Latents%m.Patch[0] != 0:
		return &FieldError{StartField, fmt.Sprintf("%d latent frames", g.Latents),
			fmt.Sprintf("from 1, 1 for an image, divisible by %d", m.Patch[0])}
	case s.Long != LongExtend && !m.Takes.FirstGiven:
		return &FieldError{"long", quote(string(s.Long)), "extend, for a clip that goes on from " +
			"what is given"}
	case g.Latents >= m.Latents(s.Frames):
		return &FieldError{"num_frames", number(s.Frames), fmt.Sprintf("more than the %d that are "+
			"given, such as %d", m.frames(g.Latents), m.frames(g.Latents+m.Patch[0]))}
	}
	return nil
}

// checkLast wants a last picture where the model takes one, and a clip that has room for it.
func (m Model) checkLast(s Spec) error {
	in, ok := s.Input(RoleLast)
	if !ok {
		if m.Takes.NeedsLast {
			return &FieldError{LastField, "missing",
				"a picture; this model makes clips from a first picture to a last one"}
		}
		return nil
	}

	if allowed := m.Refuses(RoleLast); allowed != "" {
		return &FieldError{LastField, "given", allowed}
	}
	if in.Kind != KindImage || in.Latents != 0 {
		return &FieldError{LastField, quote(string(in.Kind)), "image"}
	}
	if s.Frames < 2 {
		return &FieldError{"num_frames", number(s.Frames), fmt.Sprintf("from %d, for a clip with a "+
			"first and a last picture", m.frames(1+m.Patch[0]))}
	}
	return nil
}

// Refuses says what is allowed in place of inputs of a role, "" if m takes them.
func (m Model) Refuses(r Role) string {
	switch {
	case m.refusesEdit(r) != "":
		return m.refusesEdit(r)
	case r == RoleStart && !m.Extends && !m.Takes.FirstImage:
		return "none; this model was not trained to start from a picture, or to go on from latents"
	case r == RoleLast && !m.Takes.LastImage:
		return "none; this model was not trained to end with a given picture"
	}
	return ""
}

// PictureLatents returns how many latent frames of a clip a picture gives that has a role. A model
// that is given pictures beside the latent makes all frames itself.
func (m Model) PictureLatents(r Role) int {
	if r == RoleStart && m.Takes.Condition == 0 && (m.Extends || m.Takes.FirstGiven) {
		return 1
	}
	return 0
}

// Sketch returns r with stand-ins for the pictures that m needs and r lacks, to judge what a clip
// would take before there are any.
func (m Model) Sketch(r Request) Request {
	blank := Object{Name: "sketch", SHA256: strings.Repeat("0", 64)}
	for _, need := range []struct {
		is   bool
		role Role
	}{{m.Takes.NeedsImage, RoleStart}, {m.Takes.NeedsLast, RoleLast}} {
		if _, ok := inputOf(r.Inputs, need.role); need.is && !ok {
			r.Inputs = append(slices.Clip(r.Inputs), Input{Role: need.role, Kind: KindImage, Object: blank,
				Latents: m.PictureLatents(need.role)})
		}
	}
	return r
}

// frames is the inverse of Latents.
func (m Model) frames(latents int) int { return (latents-1)*m.TemporalScale + 1 }

// blocks counts the windows of an extended clip, which are made one after the other behind what is
// given. It counts in latent frames; a patch may span several, but divides all of them.
func (m Model) blocks(s Spec) int {
	if m.inBlocks(s) {
		return m.Latents(s.Frames) / m.Causal.Block
	}
	return partition.Timeline{Frames: m.Latents(s.Frames), Window: s.Window, Overlap: s.Overlap,
		Extend: true, Given: s.Given()}.Count()
}
