// Package model reads Wan models from the folder that Hugging Face diffusers writes, and packs
// their weights onto devices.
//
// A Folder holds the configurations and the memory-mapped weights of the components. Open checks
// all of it before anything is computed: classes, every configuration value, every weight's name
// and shape. What changes the result and is not known is refused; what cannot change it is left out
// with a notice.
//
// The components themselves are in wan (the transformer), umt5 (the text encoder), vae and
// tokenizer. Each takes its Weights by name, through a Builder; a missing or unused weight is an
// error.
package model
