// Package vae is Wan's causal video autoencoder (diffusers' AutoencoderKLWan): latents to frames,
// one latent frame at a time, and frames to latents, group by group. Every causal convolution keeps
// the last frames it saw, so that a clip of any length passes in memory that does not grow with it,
// and frame groups get the bits they would have in one pass. A band of a frame's rows can be
// decoded alone, to the bits that it has in the whole frame, and a clip from any latent frame on,
// to the bits that it has in the whole clip.
//
// Activations are [T·H·W, C], channels last.
package vae
