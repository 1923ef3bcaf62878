// Package latents reads and writes the latent of a clip as a file, and shows it as a picture.
//
// The file is what diffusers returns for output_type="latent", as safetensors: one tensor
// `latents`, F32 [1, C, T, H, W]. A File maps it, so that decoding a long clip reads a frame at a
// time; a Writer fills it from tokens that come in from many ranks, a few frames at a time. Paint
// makes the picture of one latent frame without the VAE, by a linear map from its channels to
// colours.
//
// None of the types may be used by two goroutines at once, but any number of Files may have the
// same file open, also while a Writer has finished with it and nobody has closed it yet.
package latents
