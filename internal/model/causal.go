package model

import (
	"errors"
	"fmt"
	"strings"
)

// Causal is what longtake.json says of a model that makes clips block by block, with the keys and
// values of earlier blocks: one distilled by Self-Forcing, CausVid or LongLive. Counts are in
// latent frames.
type Causal struct {
	Block     int       // of a block
	Window    int       // that a block attends to, its own and the sink included
	Sink      int       // of these, the first of the clip, which stay; 0: none
	Timesteps []float64 // of a block's steps, falling, from 1000
	Shift     float64   // flow shift of the noise levels
	Warp      bool      // whether the shift moves the timesteps too
}

// selfForcing is what the public Self-Forcing model was distilled for: it sees all of a clip of 81
// frames.
func selfForcing() *Causal {
	return &Causal{Block: 3, Window: 21, Timesteps: []float64{1000, 750, 500, 250}, Shift: 5,
		Warp: true}
}

// causalLimit bounds counts of latent frames.
const causalLimit = 1 << 20

// readCausal reads the keys that CausalWanTransformer3DModel has beside those of
// WanTransformer3DModel. It says nothing of steps: those of all models that are published in this
// form are Self-Forcing's. A window of null is none, which here is what the model was trained on.
func readCausal(s *settings) *Causal {
	c := selfForcing()
	s.must("_class_name", quoted(causalTransformer), `"WanTransformer3DModel"`)
	c.Block = s.int("num_frames_per_block", c.Block, 1, causalLimit)
	c.Sink = s.int("sink_size", 0, 0, causalLimit)

	whole := s.intOr("sliding_window_num_frames", c.Window, c.Window, 1, causalLimit)
	c.Window = s.intOr("max_attention_num_frames", whole, whole, 1, causalLimit)
	s.must("local_attn_size", "-1", fmt.Sprint(c.Window))
	if c.Window < c.Sink+c.Block {
		s.fail("sliding_window_num_frames", fmt.Sprintf("from %d, the sink and a block",
			c.Sink+c.Block))
	}
	return c
}

// causal reads `causal`. What values fit each other is checked where the model is described.
func (s *settings) causal() *Causal {
	const allowed = `an object such as {"block": 3, "window": 12, "sink": 3, ` +
		`"timesteps": [1000, 750, 500, 250], "shift": 5}`
	c := settings{file: s.file, used: map[string]bool{}}
	if !s.take("causal", &c.raw, allowed) {
		return nil
	}

	c.nullable = true
	out := selfForcing()
	out.Block = c.int("block", out.Block, 1, causalLimit)
	out.Window = c.int("window", out.Window, 1, causalLimit)
	out.Sink = c.int("sink", 0, 0, causalLimit)
	out.Shift, out.Warp = c.float("shift", out.Shift, 0.01, 100), c.bool("warp", true)
	c.take("timesteps", &out.Timesteps, "a list of numbers")

	// An error within names the key within.
	if err := c.finish(); err != nil && s.err == nil {
		s.err = errors.New(strings.Replace(err.Error(), s.file+": ", s.file+": causal: ", 1))
	}
	if s.err == nil && out.Window < out.Sink+out.Block {
		s.err = fmt.Errorf("%s: causal: window is %d; allowed: from %d, the sink and a block", s.file,
			out.Window, out.Sink+out.Block)
	}
	return out
}
