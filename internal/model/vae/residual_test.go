package vae

import (
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/partition"
	"pgregory.net/rapid"
)

// residuals are twins of Wan 2.2's VAE, by the sizes of their goldens in latent frames, rows and
// columns. In the narrow one, time doubles where the width halves.
var residuals = map[string][][3]int{
	"residual":        {{1, 2, 3}, {2, 3, 1}, {3, 1, 2}, {4, 1, 1}},
	"residual_narrow": {{1, 3, 2}, {2, 1, 4}, {4, 3, 1}},
}

func loadTwin(t testing.TB, name string) *Decoder {
	t.Helper()
	dev, cfg, w := openDir(t, golden.Twin(t, name))
	d, err := Load(dev, cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestResidualVAEsEqualTheReference(t *testing.T) {
	for name, sizes := range residuals {
		g, d := golden.Open(t, "vae_"+name), loadTwin(t, name)
		_, _, weights := openDir(t, golden.Twin(t, name))
		e, err := LoadEncoder(d.dev, d.cfg, weights)
		if err != nil {
			t.Fatal(err)
		}

		for _, size := range sizes {
			frames, h, w := size[0], size[1], size[2]
			z := golden.Formula(d.cfg.ZDim * frames * h * w)
			var some []float32 // every fifth value is in the file
			for i, v := range decoded(t, d, z, []int{1, d.cfg.ZDim, frames, h, w}) {
				if i%5 == 0 {
					some = append(some, v)
				}
			}
			key := fmt.Sprintf(".%d.%d.%d", frames, h, w)
			golden.Near(t, name+key+" decoded", some, g.Floats("decoded"+key), 1e-5)

			scale := d.cfg.SpatialScale()
			clip := golden.Formula((4*frames - 3) * h * scale * w * scale * colours)
			got := normalised(e, encode(t, e, clip, h*scale, w*scale))
			golden.Near(t, name+key+" encoded", got, g.Floats("latent"+key), 1e-5)
		}
	}
}

// normalised normalises a mean [C, T, h, w].
func normalised(e *Encoder, mean []float32) []float32 {
	n := len(mean) / e.cfg.ZDim
	for i := range mean {
		mean[i] = (mean[i] - float32(e.cfg.LatentsMean[i/n])) / float32(e.cfg.LatentsStd[i/n])
	}
	return mean
}

// TestAnyBandOfAResidualVAE compares bands, from any latent frame on, with the whole clip.
func TestAnyBandOfAResidualVAE(t *testing.T) {
	golden.Rounds(t, 40) // for each VAE
	for name := range residuals {
		if testing.Short() && name == "residual" {
			continue // the narrow one is the faster one
		}
		d := loadTwin(t, name)
		rapid.Check(t, func(t *rapid.T) {
			const w = 1
			h := rapid.IntRange(1, 16).Draw(t, "h")
			clip := random(d, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 3).Draw(t, "frames"), h, w)
			rows := partition.Range{Lo: rapid.IntRange(0, h-1).Draw(t, "lo")}
			rows.Hi = rapid.IntRange(rows.Lo+1, h).Draw(t, "hi")
			n := rapid.IntRange(0, len(clip)).Draw(t, "from")
			whole := decodeRows(t, d, clip, h, w, partition.Range{Hi: h})
			sameRows(t, decodeRows(t, d, clip, h, w, rows), whole, rows, h)
			sameRows(t, decodeFrom(t, d, clip, h, w, rows, n), whole[framesBefore(n):], rows, h)
		})
	}
}

// TestAResidualVAEBeginsLate begins where the warm-up is shorter than the clip before it, and wants
// no layer to begin earlier than it must.
func TestAResidualVAEBeginsLate(t *testing.T) {
	d := loadTwin(t, "residual")
	const h, w, n = 1, 1, 40
	clip := random(d, 7, n+2, h, w)
	all := partition.Range{Hi: h}
	whole := decodeRows(t, d, clip, h, w, all)
	sameRows(t, decodeFrom(t, d, clip, h, w, all, n), whole[framesBefore(n):], all, h)
	if got := d.warmUp().trunk; got != 38 {
		t.Errorf("the trunk begins %d latent frames earlier", got)
	}
}

// TestAResidualVAEInLittleMemory wants the same bits in bands, and costs that follow what is
// computed.
func TestAResidualVAEInLittleMemory(t *testing.T) {
	d := loadTwin(t, "residual")
	c := &counting{Device: d.dev}
	d.dev = c
	const h, w = 24, 1
	all := partition.Range{Hi: h}
	clip := random(d, 3, 3, h, w)
	want := decodeRows(t, d, clip, h, w, all)
	s, err := limited(t, d, c.peak/2).NewStream(h, w)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	sameRows(t, rest(t, s, clip, 0), want, all, h)
	if s.Bands() < 2 {
		t.Error("half of the memory made no bands")
	}

	whole := d.Cost(h, w, all)
	if work := d.cfg.DecodeWork() * h * w / 2 / whole; !(work > 0.9 && work < 1.1) {
		t.Errorf("the configuration alone gives %.2f of the multiplications", work)
	}
}
