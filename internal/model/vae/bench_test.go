package vae

import (
	"fmt"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/partition"
)

// BenchmarkDecode is 33 frames of 64 x 112, as tools/bench_torch.py times diffusers.
func BenchmarkDecode(b *testing.B) {
	d := load(b, "models", "demo")
	const t, h, w = 9, 8, 14
	latent := make([]float32, d.cfg.ZDim*t*h*w)
	for b.Loop() {
		decode(b, d, latent, t, h, w)
	}
}

// BenchmarkBands decodes 13 frames of 192 x 128 whole and the middle one of n bands, in turns,
// and reports what the band took of the whole, and what Cost says.
func BenchmarkBands(b *testing.B) {
	d := load(b, "models", "demo")
	const h, w = 24, 16
	all, clip := partition.Range{Lo: 0, Hi: h}, random(d, 1, 4, h, w)
	for _, n := range []int{2, 3, 6} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var took [2]time.Duration
			rows := [2]partition.Range{all, partition.Even(h, n)[n/2]}
			for b.Loop() {
				for i, r := range rows {
					start := time.Now()
					decodeRows(b, d, clip, h, w, r)
					took[i] += time.Since(start)
				}
			}
			b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "of-whole")
			b.ReportMetric(d.Cost(h, w, rows[1])/d.Cost(h, w, all), "counted")
		})
	}
}

// BenchmarkEncode is 33 frames of 64 x 112.
func BenchmarkEncode(b *testing.B) {
	e := loadEncoder(b, "models", "demo")
	const h, w = 64, 112
	clip := make([]float32, 33*h*w*3)
	for b.Loop() {
		encode(b, e, clip, h, w)
	}
}
