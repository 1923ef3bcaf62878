package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

// BenchmarkChecks says what looking for numbers that are not finite costs, as a part of what is
// looked at: of a denoising step of the demo with guidance, and of decoding a latent frame.
func BenchmarkChecks(b *testing.B) {
	for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
		e := engineOf(b, dt, 2, "models", "demo")
		for _, frames := range []int{9, 180} {
			g := partition.Grid{T: frames, H: 8, W: 12, PT: 1, PH: 2, PW: 2}
			b.Run(fmt.Sprintf("step/%v/tokens=%d", dt, g.Tokens()), func(b *testing.B) {
				step, v := stepOf(b, e, g)
				ratio(b, step, func() { // the velocities of both branches, and the latent
					for range 3 {
						if err := tensor.CheckFinite("it", v); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
	b.Run("decode", func(b *testing.B) {
		e := engineOf(b, compute.FP32, 2, "models", "demo")
		s, err := e.decoder.NewStream(8, 12)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Free()
		z := make([]float32, 16*8*12)
		var frames [][]float32
		decode := func() {
			if frames, err = s.Next(z); err != nil {
				b.Fatal(err)
			}
		}
		decode()                  // the first one is a single frame
		ratio(b, decode, func() { // the latent, what is decoded, and before it becomes pixels
			for range 2 {
				for _, f := range frames {
					if !tensor.Finite(f) {
						b.Fatal("it is not finite")
					}
				}
			}
			if !tensor.Finite(z) {
				b.Fatal("it is not finite")
			}
		})
	})
}

// stepOf returns what computes both branches of a step, and a velocity.
func stepOf(b *testing.B, e *Engine, g partition.Grid) (step func(), v []float32) {
	text, err := e.dit.Text(make([]float32, 20*e.folder.Transformer.TextDim))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(text.Free)
	group, err := collective.NewGroup(inMemory(b, 1)[0], []int{0})
	if err != nil {
		b.Fatal(err)
	}
	heads := partition.Range{Hi: e.folder.Transformer.NumAttentionHeads}
	s, err := e.dit.NewSequence(g, group, []partition.Range{{Hi: g.Tokens()}},
		[]partition.Range{heads})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Free)
	x := make([]float32, g.Tokens()*e.dit.TokenWidth())
	v = make([]float32, len(x))
	return func() {
		for range 2 {
			err := s.Forward(context.Background(), collective.Tag{}, x, v,
				wan.Timesteps{Values: []float32{500}}, text)
			if err != nil {
				b.Fatal(err)
			}
		}
	}, v
}

// ratio times work and its checks in turns, and reports the shortest time of the checks as a
// percentage of the shortest of the work.
func ratio(b *testing.B, work, checks func()) {
	worked, checked := time.Hour, time.Hour
	for b.Loop() {
		start := time.Now()
		work()
		middle := time.Now()
		checks()
		worked, checked = min(worked, middle.Sub(start)), min(checked, time.Since(middle))
	}
	b.ReportMetric(100*float64(checked)/float64(worked), "%checks")
}
