//go:build !nodemo

package demo

import (
	"embed"
	"io/fs"
)

//go:embed model_index.json longtake.json scheduler text_encoder tokenizer transformer vae
var folder embed.FS

// The weights once more, as strings: an embed.FS copies what it reads, a string can be used where
// it lies in the binary. The linker stores equal contents once.
var (
	//go:embed text_encoder/model.safetensors
	textEncoder string
	//go:embed transformer/diffusion_pytorch_model.safetensors
	transformer string
	//go:embed vae/diffusion_pytorch_model.safetensors
	vae string
)

// embedded holds the model folder; nil in builds without it.
var embedded fs.FS = files{folder, map[string]string{
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
