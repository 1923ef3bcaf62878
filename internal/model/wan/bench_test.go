package wan

import (
	"context"
	"fmt"
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
)

// BenchmarkPass is one forward pass of the demo model, as tools/bench_torch.py times diffusers.
func BenchmarkPass(b *testing.B) {
	for name, dt := range map[string]compute.DType{"fp32": compute.FP32, "bf16": compute.BF16} {
		b.Run(name, func(b *testing.B) { benchmarkPass(b, dt) })
	}
}

func benchmarkPass(b *testing.B, dt compute.DType) {
	m := loadAs(b, 2, dt, "models", "demo")
	text, err := m.Text(make([]float32, 20*m.cfg.TextDim))
	if err != nil {
		b.Fatal(err)
	}
	defer text.Free()
	for _, frames := range []int{9, 21, 180} {
		g := partition.Grid{T: frames, H: 8, W: 12, PT: 1, PH: 2, PW: 2}
		b.Run(fmt.Sprintf("tokens=%d", g.Tokens()), func(b *testing.B) {
			s := sequence(b, m, g)
			x := make([]float32, g.Tokens()*m.TokenWidth())
			v := make([]float32, len(x))
			for b.Loop() {
				err := s.Forward(context.Background(), collective.Tag{}, x, v,
					Timesteps{Values: []float32{500}}, text)
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
