//go:build cuda

package cuda

import (
	"slices"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/compute/computetest"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/partition"
)

// lowGenerations are those whose convolutions may multiply bfloat16.
var lowGenerations = []string{"v3", "v2"}

// openLow opens a device whose convolutions multiply bfloat16, or skips where the GPU has none.
func openLow(t testing.TB, generation string) GPU {
	t.Helper()
	d, err := Open(Options{Exact: true, Generation: generation, Conv: compute.BF16})
	if err != nil && strings.Contains(err.Error(), "which needs") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, d)
	return d
}

func TestConvolutionsInBF16(t *testing.T) {
	f := demo(t)
	want := decode(t, f, openCPU(t))
	for _, g := range lowGenerations {
		t.Run(g, func(t *testing.T) {
			computetest.RunConv(t, func(t testing.TB, _ int) compute.Device { return openLow(t, g) },
				5e-3, compute.BF16)

			// Roundings of factors alone: sums are float32.
			d := openLow(t, g)
			golden.Near(t, "frames", decode(t, f, d), want, boundBF16)
			if got := d.Arithmetic(); got != "cuda-"+g+"-vae-bf16" {
				t.Errorf("the arithmetic is %q", got)
			}
		})
	}

	// v1 has no tensor cores to gain by it.
	_, err := Open(Options{Generation: "v1", Conv: compute.BF16})
	if err == nil || !strings.Contains(err.Error(), "is bf16; kernels v1 allow: fp32") {
		t.Errorf("v1: %v", err)
	}
}

// TestBandsOfRowsOnTheGPU decodes a frame whole, and in two bands, of which tiles begin elsewhere.
func TestBandsOfRowsOnTheGPU(t *testing.T) {
	f := demo(t)
	for _, g := range lowGenerations {
		t.Run(g, func(t *testing.T) {
			t.Setenv("LONGTAKE_CUDA", g)
			d, err := vae.Load(openSlabs(t), f.VAE, weights(t, f, "vae"))
			if err != nil {
				t.Fatal(err)
			}

			// Each band begins at a voxel of its own, so no tile is like one of the whole frame.
			const h, w = 2, 1
			rows := func(lo, hi int) []float32 {
				s, err := d.NewBand(h, w, partition.Range{Lo: lo, Hi: hi})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Free()

				if err := s.Reserve(1); err != nil {
					t.Fatal(err)
				}
				frames, err := s.Next(normal(f.VAE.ZDim * h * w))
				if err != nil {
					t.Fatal(err)
				}
				return frames[0]
			}
			if !slices.Equal(slices.Concat(rows(0, 1), rows(1, 2)), rows(0, 2)) {
				t.Error("two bands differ from the whole frame")
			}
		})
	}
}

// TestConvolutionsByWidth lists the tiles that the outputs of Wan's VAEs get.
func TestConvolutionsByWidth(t *testing.T) {
	for out, want := range map[int][2]int{3: {32, 32}, 12: {32, 32}, 32: {32, 32}, 33: {96, 96},
		96: {96, 96}, 160: {96, 192}, 192: {96, 192}, 256: {96, 96}, 320: {96, 192}, 384: {96, 192},
		512: {96, 192}, 640: {96, 96}, 768: {96, 192}, 1024: {96, 96}} {
		got := [2]int{convOn(convsV2)(out, compute.FP32).cols, convOn(convsV3)(out, compute.BF16).cols}
		if got != want {
			t.Errorf("%d outputs: tiles of %v, want %v", out, got, want)
		}
	}
}

// TestWorkOfConvolutions counts what a convolution of 5 channels over 3 frames of 2 x 2 needs.
func TestWorkOfConvolutions(t *testing.T) {
	x := compute.Volume{Mat: compute.Mat{Rows: 8, Cols: 5}, T: 2, H: 2, W: 2}
	s := compute.ConvShape{Out: 3, In: 5, KT: 3, KH: 3, KW: 3}
	a := compute.ConvArgs{Prev: &compute.Volume{T: 1, H: 2, W: 2}}

	// Three frames of four voxels, a block of 128 bytes each.
	for g, want := range map[string]int64{"v1": 0, "v2": 12 * 128} {
		d := openWith(t, Options{Generation: g})
		if got := d.ConvBytes(x, s, a); got != want {
			t.Errorf("%s: %d bytes, want %d", g, got, want)
		}
		m := &compute.Meter{Like: d}
		if got := m.ConvBytes(x, s, a); got != want {
			t.Errorf("%s on a meter: %d bytes, want %d", g, got, want)
		}
	}

	// v1 writes what a norm gives in float32, of x alone.
	a.Norm = &compute.ChannelNorm{}
	if got := openWith(t, Options{Generation: "v1"}).ConvBytes(x, s, a); got != 4*8*5 {
		t.Errorf("v1 with a norm: %d bytes", got)
	}
}
