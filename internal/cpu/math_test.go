package cpu

import (
	"math"
	"testing"

	"github.com/longtake/longtake/internal/underrace"
)

// ulps returns how far got is from want in units of want's last place.
func ulps(got float32, want float64) float64 {
	near := float32(want)
	unit := float64(math.Nextafter32(float32(math.Abs(float64(near))), math.MaxFloat32)) -
		math.Abs(float64(near))
	return math.Abs(float64(got)-want) / unit
}

func TestExpIsWithinTwoUlp(t *testing.T) {
	underrace.Skip(t, "it computes in one goroutine")
	worst, at := 0.0, float32(0)
	check := func(x float32) {
		if e := ulps(exp(x), math.Exp(float64(x))); e > worst {
			worst, at = e, x
		}
	}
	for i := range 1_000_000 {
		check(-104 + 192.7*float32(i)/1_000_000)
		check(math.Float32frombits(uint32(i) * 1117)) // 0 to 3.7, every binade
		check(-math.Float32frombits(uint32(i) * 1117))
	}
	if worst > 2 {
		t.Errorf("exp(%g) is %.2f ulp off", at, worst)
	}
	t.Logf("worst error %.3f ulp at %g", worst, at)
}

func TestExpAtTheEnds(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{
		{0, 1}, {float32(math.Copysign(0, -1)), 1}, {inf, inf}, {-inf, 0}, {88.8, inf}, {1e30, inf},
		{-104, 0}, {-1e30, 0}, {-103.9, math.SmallestNonzeroFloat32},
	} {
		if got := exp(c.x); got != c.want {
			t.Errorf("exp(%g) = %g, want %g", c.x, got, c.want)
		}
	}
	if got := exp(float32(math.NaN())); got == got {
		t.Errorf("exp(NaN) = %g", got)
	}
}

func TestActivationsAreWithinFourUlp(t *testing.T) {
	underrace.Skip(t, "it computes in one goroutine")
	worst := map[string]float64{}
	for i := range 400_000 {
		x := -4 + 14*float32(i)/400_000
		wide, y := float64(x), []float32{x}
		silu(y, []float32{x})
		worst["silu"] = max(worst["silu"], ulps(y[0], wide/(1+math.Exp(-wide))))
		u := math.Sqrt(2/math.Pi) * (wide + 0.044715*wide*wide*wide)
		geluTanh(y, []float32{x})
		if x > -1 { // further left the rounding of u itself is what shows
			worst["gelu"] = max(worst["gelu"], ulps(y[0], wide/(1+math.Exp(-2*u))))
		}
	}
	for name, e := range worst {
		if e > 4 {
			t.Errorf("%s is %.2f ulp off", name, e)
		}
		t.Logf("%s: worst error %.3f ulp", name, e)
	}
}
