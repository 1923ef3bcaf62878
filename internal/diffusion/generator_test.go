package diffusion

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
)

// normalLimit is how far a value may be from torch's, whose vectorised logarithm and sine are not
// correctly rounded.
const normalLimit = 1e-6

// difference counts the values that differ in any bit, and returns the largest difference.
func difference(got, want []float32) (differ int, most float64) {
	if len(got) != len(want) {
		return len(want), math.Inf(1)
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			differ++
		}
		most = max(most, math.Abs(float64(got[i])-float64(want[i])))
	}
	return differ, most
}

func TestRandn(t *testing.T) {
	f := golden.Open(t, "rng")
	values, differ, most := 0, 0, 0.0
	for _, name := range f.Names() {
		part := strings.Split(name, ".")
		if part[0] == "seq" {
			continue
		}
		seed, err := strconv.ParseUint(part[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		want := f.Floats(name)
		got := make([]float32, len(want))
		NewGenerator(seed).Randn(got)
		n, e := difference(got, want)
		if e > normalLimit {
			t.Errorf("%s: a value is %g away, %d of %d differ", name, e, n, len(want))
		}
		values, differ, most = values+len(want), differ+n, max(most, e)
	}
	t.Logf("%d of %d values differ in a bit, at most by %.2g", differ, values, most)
}

func TestGeneratorSequence(t *testing.T) {
	f := golden.Open(t, "rng")
	g := NewGenerator(5)
	randn := func(n int) {
		got := make([]float32, n)
		g.Randn(got)
		if d, e := difference(got, f.Floats(fmt.Sprintf("seq.randn%d", n))); e > normalLimit {
			t.Errorf("randn(%d): a value is %g away, %d differ", n, e, d)
		}
	}
	randperm := func(n int) {
		got, want := g.Randperm(n), f.Ints(fmt.Sprintf("seq.randperm%d", n))
		if !slices.Equal(got, want) {
			t.Errorf("randperm(%d) = %v, want %v", n, got, want)
		}
	}
	randn(5)
	randn(20)
	randn(3)
	randperm(6)
	randperm(17)
	randn(33)
}

func TestRandperm(t *testing.T) {
	for n := range 40 {
		p := NewGenerator(uint64(n)).Randperm(n)
		slices.Sort(p)
		for i, v := range p {
			if int64(i) != v {
				t.Fatalf("randperm(%d) is no permutation", n)
			}
		}
	}
}

func TestRandnEmptyDrawsNothing(t *testing.T) {
	a, b := NewGenerator(1), NewGenerator(1)
	a.Randn(nil)
	a.Randperm(0)
	a.Randperm(1)
	x, y := make([]float32, 4), make([]float32, 4)
	a.Randn(x)
	b.Randn(y)
	if !slices.Equal(x, y) {
		t.Errorf("%v after empty draws, want %v", x, y)
	}
}

func BenchmarkRandn(b *testing.B) {
	dst := make([]float32, 1<<16)
	b.SetBytes(int64(4 * len(dst)))
	g := NewGenerator(1)
	for b.Loop() {
		g.Randn(dst)
	}
}
