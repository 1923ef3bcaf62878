package job

import (
	"fmt"
	"math"
)

// Memory is what a clip takes of a shard's memory, in bytes, by what it is made of: the allocations
// of the model's own code, counted in a few sizes. The zero one knows nothing.
type Memory struct {
	// Weights are those of the transformers and the decoder, which stay from one clip to the next, by
	// the type of products (fp32, bf16); with WithLoRAs behind it, those that LoRAs have changed.
	Weights map[string]int64 `json:"weights,omitempty"`
	// Expert is the part of a second transformer in them, which may be loaded for its steps alone.
	Expert map[string]int64 `json:"expert,omitempty"`
	// TextToken is what each token of a text takes while denoising holds it.
	TextToken float64 `json:"text_token,omitempty"`
	// Pass is what a pass through the transformer takes whatever its size, PassToken for each token
	// that the rank owns, and PassShared, where ranks share a window, for each token of the window,
	// times the rank's share of the heads.
	Pass       int64   `json:"pass,omitempty"`
	PassToken  float64 `json:"pass_token,omitempty"`
	PassShared float64 `json:"pass_shared,omitempty"`
	// DecodePlace is what decoding takes for each place of a latent frame, DecodeBand for each place
	// of the rows that a rank decodes, and of DecodeRows more where its rows end within the frame.
	DecodePlace float64 `json:"decode_place,omitempty"`
	DecodeBand  float64 `json:"decode_band,omitempty"`
	DecodeRows  float64 `json:"decode_rows,omitempty"`
}

// WithLoRAs stands behind a type in Memory where LoRAs change the transformers' weights, which then
// take as much as the type has, also where the model's files have less.
const WithLoRAs = "+lora"

// WeightsOf returns the weights of a clip, and the part of a second transformer in them.
func (m Memory) WeightsOf(s Spec) (weights, expert int64) {
	t := s.DType
	if _, known := m.Weights[t+WithLoRAs]; known && len(s.LoRAs) > 0 {
		t += WithLoRAs
	}
	return m.Weights[t], m.Expert[t]
}

// check bounds what came from a shard, so that no product of the planner overflows.
func (m Memory) check() error {
	const most = 1 << 50
	sizes := []float64{m.TextToken, float64(m.Pass), m.PassToken, m.PassShared,
		m.DecodePlace, m.DecodeBand, m.DecodeRows}
	for _, weights := range []map[string]int64{m.Weights, m.Expert} {
		for t, n := range weights {
			if sizes = append(sizes, float64(n)); len(t) > 16 || len(weights) > 8 {
				return fmt.Errorf("weights of %d types, one of them %.16q; allowed: 8", len(weights), t)
			}
		}
	}

	for _, v := range sizes {
		if !(v >= 0 && v <= most) || math.IsNaN(v) {
			return fmt.Errorf("a memory of %+v; allowed: from 0 to 2^50 each", m)
		}
	}
	return nil
}
