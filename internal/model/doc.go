// Package model reads Wan models from the folder that Hugging Face diffusers writes, and binds
// their weights.
//
// A Folder holds the configurations and the memory-mapped weights of the parts. Open checks all of
// it before anything is computed: classes, every configuration value, every weight's name and
// shape. The parts themselves are in wan (the transformer), umt5 (the text encoder), vae and
// tokenizer; each takes its Weights by name, and a missing or unused one is an error.
package model
