package vae

import "testing"

// BenchmarkDecode is 33 frames of 64 x 112, as tools/bench_torch.py times diffusers.
func BenchmarkDecode(b *testing.B) {
	d := load(b, "models", "demo")
	const t, h, w = 9, 8, 14
	latent := make([]float32, d.cfg.ZDim*t*h*w)
	for b.Loop() {
		decode(b, d, latent, t, h, w)
	}
}
