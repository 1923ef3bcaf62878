// Package vae is Wan's causal video autoencoder (diffusers' AutoencoderKLWan): latents to frames,
// one latent frame at a time, and frames to latents, group by group.
//
// Every causal convolution caches the last frames of its input, so a clip of any length is decoded
// in memory that does not grow with it, and each group of frames has the bits that it would have in
// one pass over the clip. A band of a frame's rows can be decoded alone, to the bits that it has in
// the whole frame, and a clip from any latent frame on, to the bits that it has in the whole clip.
// Ranks share decoding along both axes. Frames are encoded in bands, too, where memory is short.
//
// Activations are compute.Volumes [T·H·W, C], channels last, in float32.
package vae
