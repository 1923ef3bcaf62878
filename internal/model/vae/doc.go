// Package vae is the decoder of Wan's causal video autoencoder (diffusers' AutoencoderKLWan):
// latents to frames, one latent frame at a time. Every causal convolution keeps the last frames it
// saw, so that a clip of any length decodes in memory that does not grow with it, and frame groups
// get the bits they would have in one pass.
//
// Activations are [T·H·W, C], channels last.
package vae
