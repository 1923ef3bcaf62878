// Package demo is the checkpoint that ships with longtake: a small Wan model, trained for this
// project on coloured objects moving over a few places. README.md is its card.
package demo

import "embed"

// FS holds the model folder, as diffusers writes it.
//
//go:embed model_index.json longtake.json scheduler text_encoder tokenizer transformer vae
var FS embed.FS
