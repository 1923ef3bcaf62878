package job

import (
	"cmp"
	"fmt"
)

// Experts says which transformers a model has that has one for the noisy steps and another for the
// rest, as Wan 2.2 A14B. It is zero for a model of one transformer that makes all steps.
type Experts struct {
	// Boundary is the timestep from which on steps are those of the first expert; the second one
	// makes those below.
	Boundary float64 `json:"boundary"`
	First    bool    `json:"first"`  // whether the first expert is there
	Second   bool    `json:"second"` // whether the second one is
}

// Split reports whether the model's steps are divided among experts.
func (e Experts) Split() bool { return e != Experts{} }

// check wants a boundary among the timesteps that models are trained with, and an expert.
func (e Experts) check() error {
	const most = 1 << 20
	if e.Split() && (!(e.Boundary >= 0 && e.Boundary <= most) || !e.First && !e.Second) {
		return fmt.Errorf("experts %+v; allowed: a boundary of 0 to %d, one or both", e, most)
	}
	return nil
}

// Takes says what a clip may start from or follow beside its prompt.
type Takes struct {
	FirstImage bool `json:"first_image,omitempty"` // a picture, which becomes its first frame
	LastImage  bool `json:"last_image,omitempty"`  // one for its last frame
	NeedsImage bool `json:"needs_image,omitempty"` // whether there is no clip without a first picture
	NeedsLast  bool `json:"needs_last,omitempty"`  // nor without a last one
	// FirstGiven: the first picture is the clip's first latent frame, at timestep 0. Otherwise, but in
	// extension, pictures are a condition.
	FirstGiven bool `json:"first_given,omitempty"`
	// Condition counts the channels that the transformer takes of a token beside the latent.
	Condition int  `json:"condition,omitempty"`
	Video     bool `json:"video,omitempty"`   // a video to change
	Control   bool `json:"control,omitempty"` // a control video, its mask, reference pictures
}

// guidanceScale2 is what a request that does not say it gets as the second expert's scale.
func (m Model) guidanceScale2(r *Request) float64 {
	if !m.Experts.Split() {
		return 0
	}
	first := m.guidanceScale(r)
	if r.GuidanceScale != nil {
		first = *r.GuidanceScale
	}
	if m.preset(r) != nil {
		return first
	}
	return cmp.Or(m.Defaults.GuidanceScale2, first)
}
