package cpu

import (
	"math"
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/underrace"
	"pgregory.net/rapid"
)

// twin is a set of kernels held to generic.
type twin struct {
	*testing.T
	*kernels
}

// eachTwin runs a test with every set in assembly that this machine has.
func eachTwin(t *testing.T, test func(w twin)) {
	underrace.Skip(t, "a kernel is called by one goroutine")
	for _, c := range candidates() {
		t.Run(c.name, func(t *testing.T) {
			if c.lacks != "" {
				t.Skipf("this machine lacks %s", c.lacks)
			}
			test(twin{t, c.kernels})
		})
	}
}

// specials are values at the ends of float32.
var specials = []float32{0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, -1e-41, 1e-38,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1, -1}

// draw returns n values at an odd place of memory, now and then special.
func draw(t *rapid.T, n int) []float32 {
	special := rapid.IntRange(0, 4).Draw(t, "special") == 0
	at := rapid.IntRange(0, 15).Draw(t, "offset")
	seed := rapid.Uint64().Draw(t, "seed")
	v := aligned(n + at)[at:]
	for i := range v {
		seed = seed*6364136223846793005 + 1442695040888963407
		v[i] = float32(int32(seed>>32)) / (1 << 29) //nolint:gosec // -4 to 4
		if special && seed>>8%16 == 0 {
			v[i] = specials[seed>>12%uint64(len(specials))]
		}
	}
	return v
}

// noTie doubles the smallest numbers. An activation halves them, which is a tie that the last bit
// of exp decides: kernels may have one or 0, which times infinity are infinite and not a number.
func noTie(v []float32) {
	for i := range v {
		if v[i] == math.SmallestNonzeroFloat32 || v[i] == -math.SmallestNonzeroFloat32 {
			v[i] *= 2
		}
	}
}

// maybe draws values, or nothing.
func maybe(t *rapid.T, n int) []float32 {
	if rapid.Bool().Draw(t, "left out") {
		return nil
	}
	return draw(t, n)
}

func size(t *rapid.T, name string, most int) int {
	return rapid.IntRange(1, most).Draw(t, name)
}

// agree fails where two sets are further apart than rounding explains.
func agree(t *rapid.T, what string, got, want []float32, tol float64) {
	t.Helper()
	for i, w := range want {
		g, w := float64(got[i]), float64(w)
		if g == w || g != g && w != w || math.Abs(g-w) <= tol*(1+math.Abs(w)) {
			continue
		}
		t.Fatalf("%s: element %d is %g, the twin's %g", what, i, g, w)
	}
}

func TestEpilogueTwins(t *testing.T) {
	eachTwin(t, func(k twin) {
		rapid.Check(k, func(t *rapid.T) {
			rows, n := size(t, "rows", 4), size(t, "n", 100)
			step := n + rapid.IntRange(0, 20).Draw(t, "gap")
			y := draw(t, rows*step)
			f := finishing{bias: maybe(t, n), mul: maybe(t, rows*n), gate: maybe(t, n),
				residual: maybe(t, rows*step), dstStep: step, yStep: step,
				act: compute.Activation(rapid.IntRange(0, 2).Draw(t, "act"))}
			if f.act != compute.Identity {
				noTie(y)
				noTie(f.bias)
			}
			if f.mul != nil {
				f.mulStep = n
			}
			if f.residual != nil {
				f.residStep = step
			}
			got, want := make([]float32, rows*step), make([]float32, rows*step)
			k.finish(got, y, rows, n, &f)
			finishGeneric(want, y, rows, n, &f)
			agree(t, "finish, gaps included", got, want, 1e-5)
		})
	})
}

func TestNormTwins(t *testing.T) {
	underrace.Skip(t, "a kernel is called by one goroutine")
	eachTwin(t, func(k twin) {
		rapid.Check(k, func(t *rapid.T) {
			n := size(t, "n", 150)
			x := draw(t, n)
			mean := float64(rapid.Float32Range(-1, 1).Draw(t, "mean"))
			sums := []float32{float32(k.sum(x)), float32(k.squares(x, mean))}
			agree(t, "sum, squares", sums,
				[]float32{float32(sumGeneric(x)), float32(squaresGeneric(x, mean))}, 1e-5)
			f := normalising{mean: mean, inverse: 0.7, gain: maybe(t, n), scale: maybe(t, n)}
			if f.gain != nil {
				f.bias = maybe(t, n)
			}
			if f.scale != nil {
				f.shift = maybe(t, n)
			}
			got, want := make([]float32, n), make([]float32, n)
			k.normalise(got, x, &f)
			normaliseGeneric(want, x, &f)
			agree(t, "normalise", got, want, 1e-5)
		})
	})
}

func TestRotationTwins(t *testing.T) {
	eachTwin(t, func(k twin) {
		rapid.Check(k, func(t *rapid.T) {
			half, heads := size(t, "half", 70), size(t, "heads", 3)
			got, cos, sin := draw(t, 2*half*heads), draw(t, half), draw(t, half)
			want := slices.Clone(got)
			k.rotate(got, cos, sin)
			rotateGeneric(want, cos, sin)
			agree(t, "rotate", got, want, 1e-5)
		})
	})
}

// lowers are the two ways of a set to multiply.
func (k *kernels) lowers() []*bf16Kernels { return []*bf16Kernels{nil, &k.bf16} }

// product is the micro-kernel of one of them.
func (k *kernels) product(bf16 *bf16Kernels) microTile {
	if bf16 != nil {
		return bf16.gemm
	}
	return k.gemm
}

// multiply is a [m, k] times w [n, k] with a set's own tiles, in runs of the length run.
func (k *kernels) multiply(a, w []float32, m, n, steps, run int, bf16 *bf16Kernels) []float32 {
	p := packPanels(k, floatRows(w, n, steps), bf16)
	row := func(i int) []float32 { return a[i*steps : (i+1)*steps] }
	if bf16 != nil {
		row = func(i int) []float32 {
			units := make([]float32, bf16.units(steps))
			bf16.narrow(units, a[i*steps:(i+1)*steps])
			return units
		}
	}
	c, w1 := make([]float32, roundUp(m, k.mr)*p.padded), &worker{}
	rows := make([][]float32, roundUp(m, k.mr))
	for i := range rows {
		rows[i] = row(min(i, m-1))
	}
	for k0 := 0; k0 < p.k; {
		length := min(run, p.k-k0)
		runs := min(2, (p.k-k0)/length)
		var at []*float32
		for r := 0; r < m; r += k.mr {
			for step := range runs {
				for _, x := range rows[r : r+k.mr] {
					at = append(at, &x[k0+step*length])
				}
			}
		}
		for j := 0; j < p.padded; j += k.nr {
			b, width := p.panel(w1, bf16, j, k0, runs*length)
			k.product(bf16)(c[j:], p.padded, m, width, at, runs, length, b, prefetch{}, k0 > 0)
		}
		k0 += runs * length
	}
	out := make([]float32, 0, m*n)
	for r := range m {
		out = append(out, c[r*p.padded:r*p.padded+n]...)
	}
	return out
}

func TestProductTwins(t *testing.T) {
	eachTwin(t, func(k twin) {
		rapid.Check(k, func(t *rapid.T) {
			m, n, steps := size(t, "m", 30), size(t, "n", 80), size(t, "k", 120)
			run := size(t, "run", 60)
			a, w := draw(t, m*steps), draw(t, n*steps)
			for i, bf16 := range k.lowers() {
				got := k.multiply(a, w, m, n, steps, run, bf16)
				want := generic.multiply(a, w, m, n, steps, run, generic.lowers()[i])
				tol := 2e-4 // of sums up to 120·16
				for j, x := range want {
					if x-x != 0 {
						got[j] = x // overflow: where sums meet infinity depends on how they round
					}
				}
				agree(t, "gemm", got, want, tol)
			}
		})
	})
}

// weighted is softmax(scores)·v over several tiles of keys with a set's own panels of queries:
// scores [queries, keys], v [width, keys], bias nil or [queries+keys-1] by query-key+keys-1.
func (k *kernels) weighted(scores, bias, v []float32, queries, keys, width int,
	bf16 *bf16Kernels) []float32 {
	softmax := k.softmax
	if bf16 != nil {
		softmax = bf16.softmax
	}
	out := make([]float32, queries*width)
	for q := 0; q < queries; q += k.nr {
		var s running
		s.reset()
		sum := make([]float32, width*k.nr)
		for j := 0; j < keys; j += keyTile {
			n := min(keyTile, keys-j)
			p := make([]float32, keyTile*k.nr)
			for key := range n {
				for i := range min(k.nr, queries-q) {
					p[key*k.nr+i] = scores[(q+i)*keys+j+key]
				}
			}
			var padded []float32
			if bias != nil {
				padded = append(slices.Clone(bias), make([]float32, k.nr)...)
			}
			softmax(p, n, 0.25, padded, keys-1-j+q, &s)
			k.blend(sum, k.products(v[j:], p, n, width, keys, bf16), &s)
		}
		k.divide(sum, &s)
		for i := range min(k.nr, queries-q) {
			for c := range width {
				out[(q+i)*width+c] = sum[c*k.nr+i]
			}
		}
	}
	return out
}

// products is v [width, n], rows step apart and as they are, times the probabilities p of n keys.
func (k *kernels) products(v, p []float32, n, width, step int, bf16 *bf16Kernels) []float32 {
	tile := make([]float32, width*k.nr)
	for c := range width {
		for i := range k.nr {
			sum := 0.0
			for key := range n {
				x := p[key*k.nr+i : key*k.nr+i+1]
				if bf16 != nil && bf16.per == 2 {
					x = unpaired(p[key/2*k.nr+i:][:1])[key%2:]
				}
				sum += float64(v[c*step+key]) * float64(x[0])
			}
			tile[c*k.nr+i] = float32(sum)
		}
	}
	return tile
}

func TestSoftmaxTwins(t *testing.T) {
	eachTwin(t, func(k twin) {
		rapid.Check(k, func(t *rapid.T) {
			queries, keys, width := size(t, "queries", 40), size(t, "keys", 250), size(t, "width", 5)
			scores, bias := draw(t, queries*keys), maybe(t, queries+keys-1)
			v := make([]float32, keys*width)
			for i := range v {
				v[i] = float32(i%23-11) / 7
			}
			for i, bf16 := range k.lowers() {
				got := k.weighted(scores, bias, v, queries, keys, width, bf16)
				want := generic.weighted(scores, bias, v, queries, keys, width, generic.lowers()[i])
				agree(t, "softmax", got, want, []float64{1e-5, 2.0 / 256}[i])
			}
		})
	})
}

func TestTransposeTwins(t *testing.T) {
	eachTwin(t, func(k twin) {
		rapid.Check(k, func(t *rapid.T) {
			n := size(t, "n", 70)
			rows := make([]*float32, k.nr)
			for i := range rows {
				rows[i] = &draw(t, n)[0]
			}
			got, want := make([]float32, n*k.nr), make([]float32, n*k.nr)
			k.transpose(got, k.nr, rows, n)
			transposeGeneric(want, k.nr, rows, n)
			agree(t, "transpose", got, want, 0)
		})
	})
}

// TestRoundingTwins holds the rounding to bfloat16 to the bit, but for numbers below the smallest
// normal one, which AVX512_BF16 takes for zero.
func TestRoundingTwins(t *testing.T) {
	eachTwin(t, func(k twin) {
		rapid.Check(k, func(t *rapid.T) {
			n := size(t, "n", 100)
			x := draw(t, n)
			got, want := make([]float32, k.bf16.units(n)), make([]float32, n)
			k.bf16.narrow(got, x)
			narrowGeneric(want, x)
			if k.bf16.per == 2 {
				got = unpaired(got)[:n]
			}
			agree(t, "narrow", got, want, 0x1p-126)
		})
	})
}

// unpaired turns pairs of bfloat16 into float32.
func unpaired(units []float32) []float32 {
	var out []float32
	for _, u := range units {
		bits := math.Float32bits(u)
		out = append(out, math.Float32frombits(bits<<16), math.Float32frombits(bits&^0xffff))
	}
	return out
}
