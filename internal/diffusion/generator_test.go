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

// randn fills dst with what torch.randn(len(dst)) draws from a generator.
func randn(g *Generator, dst []float32) {
	g.Stream(len(dst), func(at int, values []float32) { copy(dst[at:], values) })
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
		randn(NewGenerator(seed), got)
		n, e := difference(got, want)
		if e > normalLimit {
			t.Errorf("%s: a value is %g away, %d of %d differ", name, e, n, len(want))
		}
		values, differ, most = values+len(want), differ+n, max(most, e)
	}
	t.Logf("%d of %d values differ in a bit, at most by %.2g", differ, values, most)
}

// TestSeedsOfAllSizes has what torch.randn(3) returns after manual_seed of seeds that int64 cannot
// hold; -1 and -5 are 2^64-1 and 2^64-5 there.
func TestSeedsOfAllSizes(t *testing.T) {
	for seed, want := range map[uint64][]float32{
		1<<64 - 1: {1.2197630405426025, -0.3929794728755951, 1.0230751037597656},
		1<<64 - 5: {-1.8266246318817139, 0.6379720568656921, -1.7862693071365356},
		1 << 63:   {1.5409960746765137, -0.293428897857666, -2.1787893772125244},
		1<<63 + 5: {-0.4867807626724243, -0.6038215756416321, -0.5580962300300598},
		1<<32 + 7: {-0.1467950940132141, 0.7861412763595581, 0.9468216300010681},
	} {
		got := make([]float32, len(want))
		randn(NewGenerator(seed), got)
		if _, e := difference(got, want); e > normalLimit {
			t.Errorf("seed %d: %v, want %v", seed, got, want)
		}
	}
}

func TestGeneratorSequence(t *testing.T) {
	f := golden.Open(t, "rng")
	g := NewGenerator(5)
	randn := func(n int) {
		got := make([]float32, n)
		randn(g, got)
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
	randn(a, nil)
	a.Randperm(0)
	a.Randperm(1)
	x, y := make([]float32, 4), make([]float32, 4)
	randn(a, x)
	randn(b, y)
	if !slices.Equal(x, y) {
		t.Errorf("%v after empty draws, want %v", x, y)
	}
}

func BenchmarkRandn(b *testing.B) {
	dst := make([]float32, 1<<16)
	b.SetBytes(int64(4 * len(dst)))
	g := NewGenerator(1)
	for b.Loop() {
		randn(g, dst)
	}
}

// TestStreamGivesUpWhenTold stops it after a million of a billion values.
func TestStreamGivesUpWhenTold(t *testing.T) {
	g, looks := NewGenerator(1), 0
	g.StopWhen(func() bool {
		looks++
		return looks > 1
	})
	drawn := 0
	g.Stream(1<<30, func(at int, values []float32) { drawn = at + len(values) })
	if drawn != stopEvery {
		t.Errorf("%d values were drawn", drawn)
	}
}
