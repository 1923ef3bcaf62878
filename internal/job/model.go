package job

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Model is what the control plane knows about the model that its shards hold: enough to check a
// request, to plan its mesh, and to predict its time. A shard describes its model when it
// registers; the first one's holds for the cluster.
type Model struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"` // equal on nodes that hold the same weights
	// The transformer's form: attention is shared among ranks by heads, tokens by rows and columns.
	Heads   int    `json:"heads"`
	HeadDim int    `json:"head_dim"`
	Layers  int    `json:"layers"`
	Patch   [3]int `json:"patch"` // latent frames, rows and columns of one token
	// The VAE's form: how pixels and frames become latents.
	LatentChannels int `json:"latent_channels"`
	TemporalScale  int `json:"temporal_scale"` // frames for each latent frame after the first
	SpatialScale   int `json:"spatial_scale"`  // pixels for each latent row or column
	// What it makes at once, and whether it goes on from latents that are given.
	MaxTokens    int      `json:"max_tokens"`    // denoised at once; 0: no limit
	MaxPositions int      `json:"max_positions"` // of tokens on each axis; 0: no limit
	Extends      bool     `json:"extends"`       // trained with given latents at timestep 0
	Causal       *Causal  `json:"causal,omitempty"`
	Experts      Experts  `json:"experts,omitzero"`
	Takes        Takes    `json:"takes,omitzero"`
	Defaults     Defaults `json:"defaults"`
	Cost         Cost     `json:"cost,omitzero"`
	// Notices say what of the model's files was left out or chosen, one line each.
	Notices []string `json:"notices,omitempty"`
	// Words are those that the model was trained on; none: it does not say. With LowerCase, prompts
	// are in small letters before it sees them.
	Words     []string `json:"words,omitempty"`
	LowerCase bool     `json:"lower_case,omitempty"`
	// Damage says what makes every job fail: weights that are not finite. "" is the usual case.
	Damage string `json:"damage,omitempty"`
	// LoRAs are those that requests may name: files that the shard, or one of the cluster's, has.
	LoRAs []LoRAFile `json:"loras,omitempty"`
}

// FingerprintKind is what fingerprints of every byte of the weights begin with. Others are of
// earlier releases, which left out most bytes of a large model.
const FingerprintKind = "w2-"

// Succeeds reports whether m may take the place of the model of a cluster: of none, of a damaged
// one, or of the same one: by the fingerprint of an earlier release, with more LoRAs, or on devices
// of another type.
func (m Model) Succeeds(old Model) bool {
	again := old
	again.Fingerprint, again.Notices, again.Cost = m.Fingerprint, m.Notices, m.Cost
	again.Words, again.LowerCase, again.Takes = m.Words, m.LowerCase, m.Takes
	again.LoRAs, again.Defaults.DType = m.LoRAs, m.Defaults.DType
	renamed := strings.HasPrefix(m.Fingerprint, FingerprintKind) &&
		!strings.HasPrefix(old.Fingerprint, FingerprintKind) && reflect.DeepEqual(again, m)
	same := m.Fingerprint == old.Fingerprint
	grown := same && (len(m.LoRAs) > len(old.LoRAs) || m.Defaults.DType != old.Defaults.DType)
	return old.Fingerprint == "" || old.Damage != "" && m.Damage == "" || renamed || grown
}

// Defaults are what a request gets for the fields that it leaves out: those of the model's
// longtake.json, or of diffusers' WanPipeline.
type Defaults struct {
	Width         int     `json:"width"`
	Height        int     `json:"height"`
	Frames        int     `json:"frames"`
	MaxFrames     int     `json:"max_frames"` // denoised at once; 0: no limit beyond MaxTokens
	Window        int     `json:"window"`     // latent frames of a long clip's windows; 0: none
	Overlap       int     `json:"overlap"`    // of two windows
	Steps         int     `json:"steps"`
	FPS           Rate    `json:"fps"`
	GuidanceScale float64 `json:"guidance_scale"`
	// GuidanceScale2 is that of the second expert's steps; 0: as the first one's.
	GuidanceScale2 float64 `json:"guidance_scale_2,omitempty"`
	FlowShift      float64 `json:"flow_shift"`
	Scheduler      string  `json:"scheduler"`
	Preset         string  `json:"preset,omitempty"` // of a model that was distilled for it
	// DType is the type that the devices of the cluster are made for, which shards say with their
	// model: bf16 on GPUs, fp32 on CPUs. "" says nothing, and is fp32.
	DType string `json:"dtype,omitempty"`
}

// dtype is the type of products of a request that names none.
func (m Model) dtype(*Request) string { return cmp.Or(m.Defaults.DType, DTypes[0]) }

// slowType says that a type is not one for the cluster's devices, "" if it is.
func (m Model) slowType(s Spec) string {
	if m.Defaults.DType == DTypes[0] || m.Defaults.DType == "" || s.DType != DTypes[0] {
		return ""
	}
	return fmt.Sprintf("%s was asked for, which leaves the tensor cores of GPUs unused: %s is many "+
		"times as fast", s.DType, m.Defaults.DType)
}

// Latents returns the latent frames of a clip: one for its first frame, and one for each
// TemporalScale frames after that.
func (m Model) Latents(frames int) int { return (frames-1)/m.TemporalScale + 1 }

// Tokens returns the number of tokens of a clip of this size, all windows together, as the
// transformer sees them.
func (m Model) Tokens(frames, height, width int) int {
	return m.tokens(m.Latents(frames), height, width)
}

func (m Model) tokens(latents, height, width int) int {
	rows, columns := height/m.SpatialScale/m.Patch[1], width/m.SpatialScale/m.Patch[2]
	return latents / m.Patch[0] * rows * columns
}

// Check reports whether m, which came from a shard, can be worked with: positive sizes of sane
// magnitude, and defaults that are a valid request.
func (m Model) Check() error {
	const limit = 1 << 20
	if m.Name == "" || len(m.Name) > 256 || m.Fingerprint == "" || len(m.Fingerprint) > 128 {
		return fmt.Errorf("model %.64q, fingerprint %.64q; allowed: 1 to 256 and 128 bytes", m.Name,
			m.Fingerprint)
	}
	if !utf8.ValidString(m.Name+m.Fingerprint+m.Damage) || len(m.Damage) > ErrorLimit {
		return fmt.Errorf("model %q: the name, fingerprint or damage is not UTF-8, or is too long",
			m.Name)
	}

	// Sizes are factors of products all over the planner; with these limits none overflows.
	sizes := []int{m.Heads, m.HeadDim, m.Layers, m.Patch[0], m.Patch[1], m.Patch[2],
		m.LatentChannels, m.TemporalScale, m.SpatialScale, 1 + m.Takes.Condition}
	for _, v := range sizes {
		if v < 1 || v > limit {
			return fmt.Errorf("model %q has a size of %d in %v; allowed: 1 to %d", m.Name, v, sizes,
				limit)
		}
	}

	d := m.Defaults
	if min(m.MaxTokens, m.MaxPositions, d.MaxFrames, d.Window, d.Overlap) < 0 || d.Window > limit {
		return fmt.Errorf("model %q: max_tokens %d, max_positions %d, max_frames %d, window %d, "+
			"overlap %d; allowed: from 0", m.Name, m.MaxTokens, m.MaxPositions, d.MaxFrames, d.Window,
			d.Overlap)
	}
	if c := m.Causal; c != nil && (c.Block%m.Patch[0] != 0 || m.Experts.Split()) {
		return fmt.Errorf("model %q has causal blocks of %d latent frames; allowed: whole patches of "+
			"%d, and one transformer for all steps", m.Name, c.Block, m.Patch[0])
	}
	if err := cmp.Or(m.checkNotices(), m.checkLoRAFiles(), m.checkPreset(),
		m.checkWords(), m.Cost.check(), m.Experts.check(), m.Causal.check()); err != nil {
		return err
	}

	// A request that says nothing has to be one that the model can make.
	s, err := m.Resolve(m.Sketch(Request{}), nil)
	if err == nil && s.FramesAsked != 0 {
		err = &FieldError{"frames", number(s.FramesAsked), fmt.Sprintf("such as %d", s.Frames)}
	}
	if err != nil {
		return fmt.Errorf("model %q has defaults that do not work: %w", m.Name, err)
	}
	return nil
}

// checkNotices bounds what a model says of itself: it is stored and shown.
func (m Model) checkNotices() error {
	for _, n := range m.Notices {
		if len(n) > noticeLimit || !utf8.ValidString(n) || len(m.Notices) > noticesLimit {
			return fmt.Errorf("model %q has %d notices, one of %d bytes; allowed: %d of %d bytes of UTF-8",
				m.Name, len(m.Notices), len(n), noticesLimit, noticeLimit)
		}
	}
	return nil
}
