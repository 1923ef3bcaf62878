package job

import (
	"fmt"
	"math"
)

// Cost is what the control plane knows of a model to predict how long a clip takes, and what
// memory. The zero one knows nothing.
type Cost struct {
	FFNDim int `json:"ffn_dim"` // width of the feed-forward layers
	// ControlLayers counts those that read what controls the clip, beside the model's layers.
	ControlLayers int `json:"control_layers,omitempty"`
	// Decode is the multiplications and additions for one place of a latent frame, once it becomes
	// TemporalScale frames.
	Decode float64 `json:"decode"`
	// Memory is what a clip takes of a shard's.
	Memory Memory `json:"memory,omitzero"`
	// Pixels of a frame are those of the largest size that the model is said to be made for.
	Pixels int `json:"pixels"`
}

func (c Cost) check() error {
	const most = 1 << 30
	if c.FFNDim < 0 || c.FFNDim > most || c.Pixels < 0 || c.Pixels > most ||
		c.ControlLayers < 0 || c.ControlLayers > most ||
		!(c.Decode >= 0 && c.Decode < math.MaxFloat32) {
		return fmt.Errorf("a cost of %+v; allowed: from 0", c)
	}
	return c.Memory.check()
}

// PassWork returns the multiplications and additions of a pass of so many tokens through the model:
// products and attention. It is 0 where the cost is not known.
func (m Model) PassWork(tokens int) float64 { return m.PassWorkOver(tokens, tokens) }

// PassWorkOver is PassWork where the tokens attend to so many keys, their own among them.
func (m Model) PassWorkOver(tokens, keys int) float64 {
	if m.Cost.FFNDim == 0 {
		return 0
	}
	n, k := float64(tokens), float64(keys)
	d, f := float64(m.Heads*m.HeadDim), float64(m.Cost.FFNDim)
	return float64(m.Layers+m.Cost.ControlLayers) * (12*n*d*d + 4*n*d*f + 4*n*k*d)
}

// DecodeWork returns those of decoding a clip.
func (m Model) DecodeWork(s Spec) float64 {
	places := s.Height / m.SpatialScale * (s.Width / m.SpatialScale)
	return m.Cost.Decode * float64(m.Latents(s.Frames)) * float64(places)
}

// CopiesHeld is how many copies of its part of the latent a rank holds: that, its velocity, that of
// each window, what the scheduler keeps, and as much again while a checkpoint is gathered.
const CopiesHeld = 10

// FarBeyond is how many times the pixels of a model's largest size a clip may have before it is
// refused, unless the client insists: what comes of it is noise, and takes long.
const FarBeyond = 16

// Oversize returns how many times the pixels of the model's largest size a frame has, 0 where that
// is not known.
func (m Model) Oversize(s Spec) float64 {
	if m.Cost.Pixels == 0 {
		return 0
	}
	return float64(s.Width*s.Height) / float64(m.Cost.Pixels)
}
