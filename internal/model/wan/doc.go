// Package wan is Wan's diffusion transformer (Wan: Open and Advanced Large-Scale Video Generative
// Models, 2025): a DiT over spacetime patches with text cross-attention, predicting a velocity. It
// reproduces diffusers' WanTransformer3DModel.
//
// A Sequence is one rank's part of a forward pass: its own tokens through every layer and, inside
// attention, its own heads over all tokens (DeepSpeed Ulysses, Jacobs et al. 2023; here for any
// number of heads and tokens over any number of ranks). Its results have the same bits for any
// split. Latents travel as tokens: a row holds the values of one patch in the order (pt, ph, pw,
// channel), input and output alike.
//
// Load packs the weights once; Text projects a prompt once per job and branch; Sequence.Forward
// then runs once per denoising step, window and branch.
package wan
