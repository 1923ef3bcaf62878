package golden

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// LoRACase is one of a golden file's: LoRAs at scales, and the SHA-256 of the weights with them.
type LoRACase struct {
	LoRAs []struct {
		Name, Layout string
		Scale        float64
		Target       string
	}
	Fused string
}

// loraNames spells the ends of layers as Wan's own repositories do.
var loraNames = strings.NewReplacer("condition_embedder.time_proj", "time_projection.1",
	"condition_embedder.time_embedder.linear_1", "time_embedding.0",
	"condition_embedder.time_embedder.linear_2", "time_embedding.2",
	"condition_embedder.text_embedder.linear_1", "text_embedding.0",
	"condition_embedder.text_embedder.linear_2", "text_embedding.2",
	"proj_out", "head.head", "ffn.net.0.proj", "ffn.0", "ffn.net.2", "ffn.2",
	"attn1", "self_attn", "attn2", "cross_attn",
	"to_q", "q", "to_k", "k", "to_v", "v", "to_out.0", "o")

// loraMaker collects the tensors of a file.
type loraMaker struct {
	shapes  map[string]tensor.Shape
	name    string
	tensors map[string]tensor.Tensor
}

// LoRA returns the tensors of a LoRA by its name and layout, as tools/lora.py makes them for a
// transformer of these shapes: "plain" as "peft", "original" or "kohya", and "rich". Their values
// follow from names, so no file is stored.
func LoRA(name, layout string, shapes map[string]tensor.Shape) map[string]tensor.Tensor {
	m := &loraMaker{shapes, name, map[string]tensor.Tensor{}}
	if name == "rich" {
		m.rich()
	} else {
		m.plain(layout)
	}
	return m.tensors
}

// Safetensors returns a file of tensors.
func Safetensors(t testing.TB, tensors map[string]tensor.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// blocks lists the layers of the transformer blocks.
func (m *loraMaker) blocks() (layers []string) {
	for name, shape := range m.shapes {
		layer, ok := strings.CutSuffix(name, ".weight")
		if ok && len(shape) == 2 && strings.HasPrefix(name, "blocks.") {
			layers = append(layers, layer)
		}
	}
	return layers
}

// plain has rank 4 and alpha 2 for all layers of the blocks.
func (m *loraMaker) plain(layout string) {
	const rank, alpha = 4, 2
	for _, layer := range m.blocks() {
		a, b := m.factors(layer, rank)

		// PEFT has no alpha, so it is in A there.
		switch layout {
		case "peft":
			for i := range a {
				a[i] *= alpha / float32(rank)
			}
			m.put("transformer."+layer+".lora_A.weight", a, tensor.F32, rank, len(a)/rank)
			m.put("transformer."+layer+".lora_B.weight", b, tensor.F32, len(b)/rank, rank)
			continue
		case "original":
			layer = "diffusion_model." + loraNames.Replace(layer)
		default:
			layer = "lora_unet_" + strings.ReplaceAll(loraNames.Replace(layer), ".", "_")
		}
		m.pair(layer, a, b, rank, tensor.F32)
		m.put(layer+".alpha", []float32{alpha}, tensor.F32)
	}
}

// rich is in bfloat16, as published ones are, and has all kinds of changes.
func (m *loraMaker) rich() {
	const rank, alpha = 3, 4
	for _, layer := range m.blocks() {
		a, b := m.factors(layer, rank)
		name := "diffusion_model." + loraNames.Replace(layer)
		m.pair(name, a, b, rank, tensor.BF16)
		m.put(name+".alpha", []float32{alpha}, tensor.BF16)
		if strings.Contains(layer, "attn1") {
			m.bias(name, layer)
		}
	}
	layers := []string{"condition_embedder.time_proj"}
	for _, kind := range []string{"text", "time"} {
		for i := range 2 {
			layers = append(layers, fmt.Sprintf("condition_embedder.%s_embedder.linear_%d", kind, i+1))
		}
	}
	for _, layer := range layers {
		a, b := m.factors(layer, rank)
		m.pair("diffusion_model."+loraNames.Replace(layer), a, b, rank, tensor.BF16)
	}
	m.bias("diffusion_model.head.head", "proj_out")
	shape := m.shapes["proj_out.weight"]
	diff := Values("lora/"+m.name, "proj_out.diff", shape...)
	for i := range diff {
		diff[i] *= 0.25
	}
	m.put("diffusion_model.head.head.diff", diff, tensor.BF16, shape...)

	ones := make([]float32, m.shapes["blocks.0.attn1.norm_q.weight"].Elements())
	for i := range ones {
		ones[i] = 1
	}
	m.put("diffusion_model.blocks.0.self_attn.norm_q.diff", ones, tensor.BF16, len(ones))
}

// factors are A [rank, in] and B [out, rank] of a layer.
func (m *loraMaker) factors(layer string, rank int) (a, b []float32) {
	shape := m.shapes[layer+".weight"]
	a = Values("lora/"+m.name, layer+".lora_A", rank, shape[1])
	b = Values("lora/"+m.name, layer+".lora_B", shape[0], rank)
	for i := range b {
		b[i] *= 0.25
	}
	return a, b
}

func (m *loraMaker) pair(name string, a, b []float32, rank int, t tensor.DType) {
	m.put(name+".lora_down.weight", a, t, rank, len(a)/rank)
	m.put(name+".lora_up.weight", b, t, len(b)/rank, rank)
}

func (m *loraMaker) bias(name, layer string) {
	n := m.shapes[layer+".weight"][0]
	m.put(name+".diff_b", Values("lora/"+m.name, layer+".bias", n), tensor.BF16, n)
}

// put adds a tensor, rounded to its type.
func (m *loraMaker) put(name string, v []float32, t tensor.DType, shape ...int) {
	if t == tensor.F32 {
		m.tensors[name] = tensor.FromFloat32(v, shape...)
		return
	}
	var data []byte
	for _, x := range v {
		bits := math.Float32bits(x)
		data = binary.LittleEndian.AppendUint16(data, uint16((bits+0x7fff+bits>>16&1)>>16))
	}
	m.tensors[name] = tensor.Tensor{DType: t, Shape: shape, Data: data}
}
