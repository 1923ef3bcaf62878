// Package diffusion turns noise into a latent: the noise of torch's CPU generator, the schedulers
// of Wan (UniPC and the flow-matching Euler scheduler of diffusers), classifier-free guidance and
// the denoising loop.
//
// A rank holds only its own tokens of the latent. Everything here works element by element and
// rounds every operation to float32, so the latents are the same bytes whichever way they are cut.
// That is what the conversions around products are for: without them the compiler may fuse a
// product and a sum, and round once instead of twice, on some processors.
//
// The model itself is behind the Velocity function, and messages are behind Exchange and Swap.
package diffusion
