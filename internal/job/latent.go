package job

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// RoleLatent is of the latent that the solver begins with, in place of the noise of the seed. Its
// Object is a file as results have it: `latents`, F32 [1, C, T, h, w].
const RoleLatent Role = "latent"

// LatentField is what clients call it, and LatentPathField a path to one on the coordinator's
// machine.
const (
	LatentField     = "initial_latent"
	LatentPathField = "latent_path"
)

// latentSizes names the sizes of a latent, in their order.
const latentSizes = "[channels, frames, height, width]"

// latentShape returns the shape of the latent that the steps work on: a frame for each reference
// picture comes before those of the clip.
func (m Model) latentShape(s Spec) [4]int {
	return [4]int{m.LatentChannels, m.Latents(s.Frames) + s.References(), s.Height / m.SpatialScale,
		s.Width / m.SpatialScale}
}

// checkLatent wants an initial latent to have the clip's shape, and all of the clip to begin with
// it. Windows that are made one after the other draw their noise when they come.
func (m Model) checkLatent(s Spec) error {
	in, ok := s.Input(RoleLatent)
	if !ok {
		return nil
	}

	// A clip of one window has all of its noise at once, whatever its request says of windows.
	inWindows := s.Given() > 0 || s.Window > 0 && s.Window < m.Latents(s.Frames)
	switch want := m.latentShape(s); {
	case in.Kind != KindLatents:
		return &FieldError{LatentField, quote(string(in.Kind)), string(KindLatents)}

	// What else gives a clip its beginning.
	case s.Strength != 0:
		return &FieldError{LatentField, "given", "none for a clip that is changed from a video, whose " +
			"latents it begins with"}
	case s.Causal != nil || s.Long == LongCausal:
		return &FieldError{LatentField, "given", "none for a causal clip, whose blocks draw noise of " +
			"their own"}
	case s.Long == LongExtend && inWindows:
		return &FieldError{LatentField, "given", "none for windows that are made one after the other, " +
			"which draw noise of their own"}

	case in.Shape != want:
		return &FieldError{LatentField, fmt.Sprintf("of shape %v", in.Shape),
			fmt.Sprintf("%v, %s of %d frames of %dx%d", want, latentSizes, s.Frames, s.Width, s.Height)}
	}
	return nil
}

// checkShape wants a latent to have a shape, and nothing else to have one.
func (in Input) checkShape() error {
	ok := in.Role == RoleLatent || in.Shape == [4]int{}
	for _, n := range in.Shape {
		ok = ok && (in.Role != RoleLatent || n >= 1 && n <= latentSizeLimit)
	}
	if ok {
		return nil
	}
	f, _ := in.Role.Field()
	return &FieldError{f.Name, fmt.Sprintf("of shape %v", in.Shape),
		fmt.Sprintf("%s of an initial latent, 1 to %d each", latentSizes, latentSizeLimit)}
}

// latentSizeLimit bounds each size of a latent, so that their product cannot overflow.
const latentSizeLimit = 1 << 15

// Origin tells clips apart by what they begin with: the seed of the noise, or a number that follows
// from the SHA-256 of the initial latent. Clips of different origins never store the same bytes.
func (s Spec) Origin() uint64 {
	in, ok := s.Input(RoleLatent)
	if sum, err := hex.DecodeString(in.Object.SHA256); ok && err == nil && len(sum) >= 8 {
		return binary.LittleEndian.Uint64(sum)
	}
	return s.Seed
}
