package job

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// The roles of what an edit is made from: the video that is changed, or that the clip follows;
// where it is to be painted anew; and pictures of what the clip is to show.
const (
	RoleVideo     Role = "video"
	RoleMask      Role = "mask"
	RoleReference Role = "reference"
)

// KindFrames is a zip of PNG frames of any one size, 00000.png and so on, which media writes: a
// video that was decoded once, so that shards need no decoder and all of them see the same pixels.
const KindFrames InputKind = "frames"

// What clients call the inputs of an edit, and how much of it is new.
const (
	VideoField     = "video"
	MaskField      = "mask"
	ReferenceField = "reference_images"
	StrengthField  = "strength"
)

// referencesMax is how many reference pictures a clip may have. Each costs as much as a latent
// frame.
const referencesMax = 8

// defaultStrength is that of WanVideoToVideoPipeline.
const defaultStrength = 0.8

// Unstored returns r with inputs that stand for those that are not stored yet, so that all else can
// be checked.
func (r Request) Unstored() Request {
	r.Inputs = slices.Clone(r.Inputs)
	for i := range r.Inputs {
		r.Inputs[i].Object = Object{Name: "unstored", SHA256: strings.Repeat("0", 64)}
	}
	return r
}

// MostFrames returns how many frames of a video a request can use, for a clip of model m: those
// that it asks for, or those of a clip whose request says nothing. r is settled.
func (r Request) MostFrames(m Model) int {
	if r.Frames == nil {
		return m.snap(m.Defaults.Frames)
	}
	return max(1, min(m.snap(*r.Frames), FramesLimit))
}

// Edit returns r for a clip of model m that is made from a video of w x h pixels, of which it can
// use so many frames. What r leaves out follows the video: the size, where the model makes it, and
// the length, the longest that the model makes of that many frames. r is settled.
func (r Request) Edit(m Model, w, h, frames int) Request {
	fits := w%(m.SpatialScale*m.Patch[2]) == 0 && h%(m.SpatialScale*m.Patch[1]) == 0 &&
		w <= SizeLimit && h <= SizeLimit && (m.Cost.Pixels == 0 || w*h <= m.Cost.Pixels)
	if r.Width == nil && r.Height == nil && fits {
		r.Width, r.Height = &w, &h
	}

	n := m.snap(frames)
	if n > frames {
		n -= m.TemporalScale * m.Patch[0]
	}
	if r.Frames == nil || *r.Frames <= frames && m.snap(*r.Frames) > frames {
		r.Frames = &n
	}
	return r
}

// References counts the reference pictures, each of which is a latent frame before the clip's own.
func (s Spec) References() int {
	n := 0
	for _, in := range s.Inputs {
		if in.Role == RoleReference {
			n++
		}
	}
	return n
}

// Skipped returns how many of the clip's first steps an edit of some strength leaves out, as
// WanVideoToVideoPipeline.get_timesteps does: all but int(steps·strength).
func (s Spec) Skipped() int {
	if s.Strength == 0 {
		return 0
	}
	return s.Steps - min(int(float64(s.Steps)*s.Strength), s.Steps)
}

// strength is how much of a video is new where the request does not say.
func (m Model) strength(r *Request) float64 {
	if _, ok := inputOf(r.Inputs, RoleVideo); ok && !m.Takes.Control {
		return defaultStrength
	}
	return 0
}

// refusesStrength says what of a strength is allowed in place of the spec's.
func (m Model) refusesStrength(s Spec) string {
	_, edits := s.Input(RoleVideo)
	switch {
	case s.Strength == 0:
		return ""
	case m.Takes.Control:
		return "none; this model follows a video: see conditioning_scale"
	case !edits:
		return "none without a video to change"
	case s.Skipped() >= s.Steps:
		return m.leastStrength(s)
	}
	return ""
}

// leastStrength says which strengths leave one of the spec's steps to be made.
func (m Model) leastStrength(s Spec) string {
	if s.Steps == 1 {
		return "1 with a single step, or more steps"
	}
	least := math.Ceil(1000/float64(s.Steps)) / 1000
	return fmt.Sprintf("%.3g to 1, as less makes none of %d steps; or more steps", least, s.Steps)
}

// conditioning is how strongly a clip follows what controls it where the request does not say.
func (m Model) conditioning(*Request) float64 {
	if m.Takes.Control {
		return 1
	}
	return 0
}

// refusesConditioning says what of a conditioning scale is allowed in place of the spec's.
func (m Model) refusesConditioning(s Spec) string {
	if s.ConditioningScale != 0 && !m.Takes.Control {
		return "none; only a VACE model is controlled"
	}
	return ""
}

// refusesEdit says what is allowed in place of inputs that edits are made from.
func (m Model) refusesEdit(r Role) string {
	switch {
	case r == RoleVideo && !m.Takes.Video && !m.Takes.Control:
		return "none; this model changes no videos: a text-to-video or VACE model does"
	case r == RoleMask && !m.Takes.Control:
		return "none; this model takes no mask: a VACE model does"
	case r == RoleReference && !m.Takes.Control:
		return "none; this model takes no reference pictures: a VACE model does"
	}
	return ""
}

// checkEdit wants a video, a mask and references that the model takes, and that are as long as the
// clip.
func (m Model) checkEdit(s Spec) error {
	for _, in := range s.Inputs {
		f, _ := in.Role.Field()
		if allowed := m.refusesEdit(in.Role); allowed != "" {
			return &FieldError{f.Name, "given", allowed}
		}

		if (in.Role == RoleVideo || in.Role == RoleMask) != (in.Kind == KindFrames) ||
			in.Role == RoleReference && in.Kind != KindImage {
			return &FieldError{f.Name, quote(string(in.Kind)), "frames for video and mask, else an image"}
		}
	}

	video, edits := s.Input(RoleVideo)
	mask, masked := s.Input(RoleMask)
	refs := s.References()
	switch {
	case !edits && masked:
		return &FieldError{MaskField, "given", "a mask of a video, and there is none"}
	case edits && s.Frames > video.Frames:
		return &FieldError{"num_frames", number(s.Frames),
			fmt.Sprintf("up to the %d of the video, at the clip's rate", video.Frames)}
	case masked && mask.Frames != 1 && s.Frames > mask.Frames:
		return &FieldError{MaskField, fmt.Sprintf("a video of %d frames", mask.Frames),
			fmt.Sprintf("a picture, or the %d frames of the clip", s.Frames)}
	case (edits || m.Takes.Control) && s.Long == LongExtend:
		return &FieldError{"long", quote(string(s.Long)), "windows, for a clip that is made from a video"}
	case refs%m.Patch[0] != 0:
		return &FieldError{ReferenceField, number(refs), fmt.Sprintf("a multiple of %d", m.Patch[0])}
	case refs > 0 && s.Window > 0 && s.Window < m.Latents(s.Frames):
		return &FieldError{ReferenceField, "given for a clip of several windows",
			"none, or a clip that is made as a whole: fewer frames or a larger window"}
	}
	return nil
}
