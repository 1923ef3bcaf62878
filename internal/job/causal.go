package job

import (
	"fmt"
	"slices"
)

// Causal says how a causal model makes a clip: block by block, each in a few steps and with the
// keys and values of earlier blocks (Self-Forcing, CausVid, LongLive).
type Causal struct {
	Block  int `json:"block"`          // latent frames of a block
	Window int `json:"window"`         // latent frames that a block attends to, its own included
	Sink   int `json:"sink,omitempty"` // of these, the first of the clip, which stay
	// Timesteps are those of a block's steps, from 1000 down. With Warp they are moved by Shift as
	// the noise levels are; else they are what the model is told.
	Timesteps []float64 `json:"timesteps"`
	Shift     float64   `json:"shift"`
	Warp      bool      `json:"warp"`
}

// CausalExample is what a folder of a causal model has in its longtake.json.
const CausalExample = `"causal": {"block": 3, "window": 12, "sink": 3, "timesteps": ` +
	`[1000, 750, 500, 250], "shift": 5}`

// causalStepsLimit bounds the steps of a block.
const causalStepsLimit = 64

// check wants whole blocks of whole patches, and a schedule that falls. A nil one is of a model
// that is not causal.
func (c *Causal) check() error {
	if c == nil {
		return nil
	}
	if c.Block < 1 || c.Sink < 0 || c.Sink%c.Block != 0 || c.Window%c.Block != 0 ||
		c.Window < c.Sink+c.Block || c.Window > FramesLimit {
		return fmt.Errorf("causal blocks of %d, a window of %d and a sink of %d latent frames; "+
			"allowed: whole blocks, and a window of at least a block more than the sink", c.Block,
			c.Window, c.Sink)
	}

	falls := len(c.Timesteps) > 0 && len(c.Timesteps) <= causalStepsLimit
	for i, t := range c.Timesteps {
		falls = falls && t >= 1 && t <= 1000 && (i == 0 || t < c.Timesteps[i-1]) &&
			(!c.Warp || t == float64(int(t)))
	}
	if !falls || !(c.Shift > 0 && c.Shift <= scaleLimit) {
		return fmt.Errorf("causal timesteps %v and shift %v; allowed: up to %d falling ones from 1000 "+
			"to 1, whole numbers unless warp is false, and a shift above 0, up to %v", c.Timesteps,
			c.Shift, causalStepsLimit, scaleLimit)
	}
	return nil
}

// causal returns how a request's clip is made block by block; nil where it is not.
func (m Model) causal(r *Request) *Causal {
	if m.long(r) != LongCausal {
		return nil
	}
	return m.Causal
}

// inBlocks reports whether the model makes a clip block by block.
func (m Model) inBlocks(s Spec) bool { return s.Long == LongCausal && m.Causal != nil }

// steps, guidanceScale, flowShift and window are what a request gets that does not say them: for a
// clip in blocks, or with a preset, what the model was trained for.
func (m Model) steps(r *Request) int {
	if c := m.causal(r); c != nil {
		return len(c.Timesteps)
	}
	if sigmas, _ := m.levels(r); len(sigmas) > 0 {
		return len(sigmas)
	}
	return m.Defaults.Steps
}

func (m Model) guidanceScale(r *Request) float64 {
	if m.causal(r) != nil {
		return 1
	}
	if p := m.preset(r); p != nil {
		return p.GuidanceScale
	}
	return m.Defaults.GuidanceScale
}

func (m Model) flowShift(r *Request) float64 {
	if c := m.causal(r); c != nil {
		return c.Shift
	}
	return m.Defaults.FlowShift
}

func (m Model) window(r *Request) int {
	if c := m.causal(r); c != nil {
		return c.Window
	}
	return m.Defaults.Window
}

// checkCausal wants what a causal model makes: all that it cannot do is refused with the reason.
func (m Model) checkCausal(s Spec) error {
	if !m.inBlocks(s) {
		return nil
	}
	c, most := m.Causal, m.Latents(m.framesTop(s))
	least := min(c.Sink+c.Block, m.Latents(s.Frames)) // a short clip needs no more

	switch {
	case s.Steps != len(c.Timesteps):
		return &FieldError{"num_inference_steps", number(s.Steps),
			fmt.Sprintf("%d, those of this causal model", len(c.Timesteps))}
	case s.Guided():
		return &FieldError{"guidance_scale", shownFloat(s.GuidanceScale),
			"up to 1; causal models are made to follow the prompt without guidance"}
	case s.Window < least || s.Window > most || s.Window%c.Block != 0:
		return &FieldError{"window", number(s.Window), fmt.Sprintf("%d to %d latent frames that a block "+
			"attends to, divisible by %d", least, most, c.Block)}
	case s.Overlap != 0:
		return &FieldError{"overlap", number(s.Overlap), "0; blocks do not overlap"}
	case len(s.Scenes) > 0:
		return &FieldError{"storyboard", fmt.Sprintf("%d scenes", len(s.Scenes)),
			"one prompt; what a causal model keeps of a scene would go on into the next"}
	case len(s.Inputs) > 0:
		return &FieldError{inputField(s.Inputs[0]), string(s.Inputs[0].Kind),
			"none with long causal; a causal clip begins with its prompt alone"}
	case s.Frames <= m.framesTop(s) && m.Latents(s.Frames)%c.Block != 0:
		return &FieldError{"num_frames", number(s.Frames), fmt.Sprintf("whole blocks, such as %d",
			m.nearest(s))}
	}
	return nil
}

// layBlocks completes a spec that has passed all checks.
func (m Model) layBlocks(s Spec) Spec {
	c, latents := *m.Causal, m.Latents(s.Frames)
	c.Timesteps = slices.Clone(c.Timesteps)
	s.Window = min(s.Window, latents)
	c.Window, c.Shift, c.Sink = s.Window, s.FlowShift, min(c.Sink, s.Window-c.Block)
	s.Causal, s.Blocks, s.Schedule, s.Scheduler = &c, m.blocks(s), "", ""
	return s
}

// checkBlocks wants a spec's blocks to be those of its length, whatever the model.
func (s Spec) checkBlocks() error {
	if (s.Causal != nil) != (s.Long == LongCausal) {
		return &FieldError{"long", quote(string(s.Long)), "causal for a spec of blocks, and for no other"}
	}
	if s.Causal == nil {
		return nil
	}

	if err := s.Causal.check(); err != nil {
		return &FieldError{"causal", err.Error(), "what a causal model asks for"}
	}
	if s.Steps != len(s.Causal.Timesteps) || s.Window != s.Causal.Window || s.Blocks < 1 ||
		s.FlowShift != s.Causal.Shift {
		return &FieldError{"causal", fmt.Sprintf("%d steps, %d blocks", s.Steps, s.Blocks),
			"those of the schedule"}
	}
	return nil
}

// inputField names the field that an input comes from.
func inputField(in Input) string {
	f, _ := in.Role.Field()
	return f.Name
}
