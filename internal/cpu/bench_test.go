package cpu

import (
	"fmt"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/sparse"
)

// filled allocates [rows, cols] with values that repeat.
func filled(b *testing.B, d compute.Device, rows, cols int) compute.Mat {
	b.Helper()
	mem, err := d.Alloc(rows * cols)
	if err != nil {
		b.Fatal(err)
	}
	v := make([]float32, rows*cols)
	for i := range v {
		v[i] = float32(i%17-8) / 8
	}
	m := compute.NewMat(mem, rows, cols)
	d.Upload(m, v)
	return m
}

// eachThreads runs a benchmark of flops operations on 1 and 2 threads.
func eachThreads(b *testing.B, flops float64, start func(b *testing.B, d compute.Device) func()) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			do := start(b, open(b, threads))
			do()
			for b.Loop() {
				do()
			}
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// eachDType runs a benchmark for both types of products.
func eachDType(b *testing.B, name string, run func(b *testing.B, dt compute.DType)) {
	for dt, of := range []string{"fp32", "bf16"} {
		b.Run(name+"/"+of, func(b *testing.B) { run(b, compute.DType(dt)) })
	}
}

func BenchmarkLinear(b *testing.B) {
	for _, s := range [][3]int{{216, 256, 896}, {1024, 1536, 1536}, {1, 256, 1536}} {
		n, in, out := s[0], s[1], s[2]
		eachDType(b, fmt.Sprintf("%dx%dx%d", n, in, out), func(b *testing.B, dt compute.DType) {
			flops := 2 * float64(n) * float64(in) * float64(out)
			eachThreads(b, flops, func(b *testing.B, d compute.Device) func() {
				w, err := d.PackLinear(make([]float32, in*out), make([]float32, out), out, in, dt)
				if err != nil {
					b.Fatal(err)
				}
				x, y := filled(b, d, n, in), filled(b, d, n, out)
				return func() { d.Linear(y, x, w, compute.Epilogue{}) }
			})
		})
	}
}

func BenchmarkAttention(b *testing.B) {
	for _, s := range [][3]int{{216, 8, 32}, {504, 8, 32}, {4320, 8, 32}, {1560, 12, 128}} {
		n, heads, w := s[0], s[1], s[1]*s[2]
		eachDType(b, fmt.Sprintf("%dx%dx%d", n, heads, s[2]), func(b *testing.B, dt compute.DType) {
			flops := 4 * float64(n) * float64(n) * float64(w)
			eachThreads(b, flops, func(b *testing.B, d compute.Device) func() {
				qkv, y := filled(b, d, n, 3*w), filled(b, d, n, w)
				q, k, v := qkv.ColRange(0, w), qkv.ColRange(w, 2*w), qkv.ColRange(2*w, 3*w)
				return func() {
					d.Attention(y, q, k, v, compute.AttentionArgs{Heads: heads, Scale: 0.17, DType: dt})
				}
			})
		})
	}
}

func BenchmarkConv(b *testing.B) {
	const t, h, w = 4, 64, 96
	for _, c := range []int{16, 64} {
		b.Run(fmt.Sprintf("%dto%d", c, c), func(b *testing.B) {
			flops := 2 * 27 * float64(t*h*w*c*c)
			eachThreads(b, flops, func(b *testing.B, d compute.Device) func() {
				s := compute.ConvShape{Out: c, In: c, KT: 3, KH: 3, KW: 3}
				weight, err := d.PackConv(make([]float32, c*c*27), nil, s)
				if err != nil {
					b.Fatal(err)
				}
				x := compute.Volume{Mat: filled(b, d, t*h*w, c), T: t, H: h, W: w}
				y := compute.Volume{Mat: filled(b, d, t*h*w, c), T: t, H: h, W: w}
				return func() { d.Conv(y, x, weight, compute.ConvArgs{FrontPad: 2}) }
			})
		})
	}
}

func BenchmarkRows(b *testing.B) {
	ops := map[string]func(d compute.Device, x compute.Mat){
		"LayerNorm": func(d compute.Device, x compute.Mat) {
			d.LayerNorm(x, x, compute.Norm{Eps: 1e-6})
		},
		"GELU":    func(d compute.Device, x compute.Mat) { d.Activate(x, x, compute.GELUTanh) },
		"RMSNorm": func(d compute.Device, x compute.Mat) { d.RMSNorm(x, x, nil, 1e-6, nil) },
	}
	for name, op := range ops {
		b.Run(name, func(b *testing.B) {
			d := open(b, 1)
			x := filled(b, d, 216, 1536)
			for b.Loop() {
				op(d, x)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/(216*1536), "ns/element")
		})
	}
}

// BenchmarkListedAttention attends to 4,368 tokens of 21 frames, all of them and what each pattern
// leaves, in turns, and reports the time of the pattern as a part of that of all.
func BenchmarkListedAttention(b *testing.B) {
	grid := partition.Grid{T: 21, H: 26, W: 32, PT: 1, PH: 2, PW: 2}
	n, heads, w := grid.Tokens(), 8, 8*64
	for _, name := range []string{"window:2", "radial"} {
		eachDType(b, name, func(b *testing.B, dt compute.DType) {
			pattern, _ := sparse.Parse(name)
			tiles, err := compute.NewKeyTiles(pattern.Lists(grid, compute.TileTokens, 1), n)
			if err != nil {
				b.Fatal(err)
			}
			d := open(b, 2)
			qkv, y := filled(b, d, n, 3*w), filled(b, d, n, w)
			var took [2]time.Duration
			for b.Loop() {
				for i, tiles := range []*compute.KeyTiles{nil, tiles} {
					start := time.Now()
					d.Attention(y, qkv.ColRange(0, w), qkv.ColRange(w, 2*w), qkv.ColRange(2*w, 3*w),
						compute.AttentionArgs{Heads: heads, Scale: 0.125, DType: dt, Tiles: tiles})
					took[i] += time.Since(start)
				}
			}
			b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "of-all")
			b.ReportMetric(tiles.Share(), "listed")
		})
	}
}
