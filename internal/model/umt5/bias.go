package umt5

import (
	"math"

	"github.com/longtake/longtake/internal/model"
)

// relativeBias spreads a layer's table [buckets, heads] over the distances of n tokens: [heads,
// 2n-1], where column j-i+n-1 is the bias of key j as seen from query i.
func relativeBias(table []float32, cfg model.TextEncoderConfig, n int) []float32 {
	out := make([]float32, cfg.NumHeads*(2*n-1))

	// A distance has the same bucket, and bias, wherever it occurs.
	for c := range 2*n - 1 {
		b := bucket(c-(n-1), cfg.RelativeAttentionNumBuckets, cfg.RelativeAttentionMaxDistance)
		for h := range cfg.NumHeads {
			out[h*(2*n-1)+c] = table[b*cfg.NumHeads+h]
		}
	}
	return out
}

// bucket maps a distance, key minus query, to a bucket (T5, Raffel et al. 2020; T5Attention's
// _relative_position_bucket). Half of the buckets are for either direction; of those, half are for
// exact distances and the rest for ranges that grow logarithmically up to maxDistance. Rounding
// follows float32, as the reference computes it.
func bucket(distance, buckets, maxDistance int) int {
	half, base := buckets/2, 0
	if distance > 0 {
		base = half
	} else {
		distance = -distance
	}

	// Near tokens have a bucket per distance.
	exact := half / 2
	if distance < exact {
		return base + distance
	}

	// Further ones share them, the last one being for all beyond maxDistance.
	r := float32(math.Log(float64(float32(distance) / float32(exact))))
	r = r / float32(math.Log(float64(maxDistance)/float64(exact))) * float32(half-exact)
	return base + min(exact+int(r), half-1)
}
