// Package demo is the checkpoint that ships with longtake: a small Wan model, trained for this
// project on coloured objects moving over a few places. README.md is its card.
package demo

import "embed"

//go:embed model_index.json longtake.json scheduler text_encoder tokenizer transformer vae
var embedded embed.FS

// The weights once more, as what they are in the program: strings, which it holds once.
var (
	//go:embed text_encoder/model.safetensors
	textEncoder string
	//go:embed transformer/diffusion_pytorch_model.safetensors
	transformer string
	//go:embed vae/diffusion_pytorch_model.safetensors
	vae string
)

// FS holds the model folder, as diffusers writes it.
var FS = files{embedded, map[string]string{
	"text_encoder/model.safetensors":                  textEncoder,
	"transformer/diffusion_pytorch_model.safetensors": transformer,
	"vae/diffusion_pytorch_model.safetensors":         vae,
}}

// files is a file system that hands out weights without copying them.
type files struct {
	embed.FS
	weights map[string]string
}

// ReadString returns a file of weights; ok is false for any other.
func (f files) ReadString(name string) (data string, ok bool) {
	data, ok = f.weights[name]
	return data, ok
}
