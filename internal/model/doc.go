// Package model reads Wan models from the folder that Hugging Face diffusers writes, and packs
// their weights onto devices.
//
// A Folder holds the configurations and the memory-mapped weights of the components. Open checks
// all of it before anything is computed: classes, every configuration value, every weight's name
// and shape. What changes the result and is not known is refused; what cannot change it is left out
// with a notice.
//
//	folder.go, files.go      the folder, and the files of its components
//	settings.go, keys.go     values of configurations: known, unknown, refused
//	defaults.go              longtake.json
//	transformer.go, text_encoder.go, vae.go, vae_shapes.go
//	                         configurations, and the names and shapes of weights
//	weights.go, builder.go   taking weights by name, and packing them
//	recognise.go             errors for files that are something else
//	survey.go, sums.go       reading every byte: fingerprints, damage, hashes
//
// The components themselves are in wan (the transformer), umt5 (the text encoder), vae and
// tokenizer. Each takes its Weights by name, through a Builder; a missing or unused weight is an
// error.
package model
