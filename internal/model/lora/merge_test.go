package lora

import "testing"

func BenchmarkAddProduct(b *testing.B) {
	const out, in, rank = 512, 1536, 32
	w, a, u := make([]float32, out*in), make([]float32, rank*in), make([]float32, out*rank)
	for i := range a {
		a[i] = float32(i%17) - 8
	}
	for i := range u {
		u[i] = float32(i%13) - 6
	}
	for b.Loop() {
		addProduct(w, a, u, rank, 0.5)
	}
	b.ReportMetric(float64(b.N)*out*in*rank/b.Elapsed().Seconds()/1e9, "Gmac/s")
}
