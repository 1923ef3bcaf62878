package lora

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
)

// alphaLimit bounds an alpha, so that no change overflows by it alone.
const alphaLimit = 1e6

// number reads a tensor of one value: trainers write alpha as a float of any size or as an integer.
func number(t tensor.Tensor) (float64, error) {
	if t.Shape.Elements() != 1 {
		return 0, fmt.Errorf("it has the shape %v; allowed: one value", t.Shape)
	}

	var v float64
	switch t.DType {
	case tensor.I64:
		v = float64(int64(binary.LittleEndian.Uint64(t.Data))) //nolint:gosec // two's complement
	case tensor.I32:
		v = float64(int32(binary.LittleEndian.Uint32(t.Data))) //nolint:gosec // two's complement
	default:
		values, err := t.Float32()
		if err != nil {
			return 0, err
		}
		v = float64(values[0])
	}
	if !(math.Abs(v) <= alphaLimit) {
		return 0, fmt.Errorf("it is %v; allowed: up to %v", v, float64(alphaLimit))
	}
	return v, nil
}

// finite refuses a tensor that is no float, or has values that are not finite.
func finite(name string, t tensor.Tensor) error {
	v, err := t.Float32()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !tensor.Finite(v) {
		return fmt.Errorf("%s has values that are not finite", name)
	}
	return nil
}

// peftScaling is what PEFT's configuration, in a file's metadata, says of alpha and rank.
type peftScaling struct {
	Alpha   float64            `json:"transformer.lora_alpha"`
	Rank    float64            `json:"transformer.r"`
	Alphas  map[string]float64 `json:"transformer.alpha_pattern"`
	Ranks   map[string]float64 `json:"transformer.rank_pattern"`
	RSLoRA  bool               `json:"transformer.use_rslora"`
	UseDoRA bool               `json:"transformer.use_dora"`
}

// metadataKey is where diffusers keeps the configuration of PEFT, as JSON.
const metadataKey = "lora_adapter_metadata"

// readScaling reads a file's metadata; nil without any, as with most files.
func readScaling(metadata map[string]string) (*peftScaling, error) {
	text, ok := metadata[metadataKey]
	if !ok {
		return nil, nil //nolint:nilnil // none is not an error
	}
	var s peftScaling
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("its %s is not as diffusers writes it: %w", metadataKey, err)
	}
	if s.Alpha == 0 && s.Rank == 0 {
		return nil, nil //nolint:nilnil // metadata of another component
	}

	for _, v := range append([]float64{s.Alpha}, values(s.Alphas)...) {
		if !(math.Abs(v) <= alphaLimit) {
			return nil, fmt.Errorf("its %s has an alpha of %v; allowed: up to %v", metadataKey, v,
				float64(alphaLimit))
		}
	}
	for _, v := range append([]float64{s.Rank}, values(s.Ranks)...) {
		if !(v >= 1 && v <= rankLimit) {
			return nil, fmt.Errorf("its %s has a rank of %v; allowed: 1 to %d", metadataKey, v, rankLimit)
		}
	}
	return &s, nil
}

// values lists the values of a map, in any order.
func values(m map[string]float64) (all []float64) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// factor is what PEFT multiplies a layer's B·A with: alpha over the rank, or over its root.
func (s *peftScaling) factor(layer string) float64 {
	if s == nil {
		return 1
	}
	a, r := pattern(s.Alphas, layer, s.Alpha), pattern(s.Ranks, layer, s.Rank)
	if s.RSLoRA {
		r = math.Sqrt(r)
	}
	return a / r
}

// pattern is the value of a layer that is listed by the end of its name, else the usual one. Of
// several that fit, the longest name decides.
func pattern(listed map[string]float64, layer string, usual float64) float64 {
	best := ""
	for name, v := range listed {
		if (layer == name || strings.HasSuffix(layer, "."+name)) && len(name) > len(best) {
			best, usual = name, v
		}
	}
	return usual
}
