// Package demo is the checkpoint that ships with longtake: a small Wan model, trained for this
// project on coloured objects moving over a few places. README.md is its card.
package demo

import (
	"embed"
	"unsafe"
)

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

// files is a file system that does not copy weights to read them.
type files struct {
	embed.FS
	weights map[string]string
}

// ReadFile implements fs.ReadFileFS. What it returns of weights must not be written, as that of a
// mapped file.
func (f files) ReadFile(name string) ([]byte, error) {
	if s, ok := f.weights[name]; ok {
		return unsafe.Slice(unsafe.StringData(s), len(s)), nil
	}
	return f.FS.ReadFile(name)
}
