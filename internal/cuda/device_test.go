//go:build cuda

package cuda

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/compute/computetest"
)

// open opens a device whose allocations the emulated driver can tell apart. Closing it reports
// what it left behind.
func open(t testing.TB, _ int) compute.Device {
	t.Helper()
	return openWith(t, Options{Exact: true})
}

// eachGeneration runs f with each generation of kernels that the GPU can run.
func eachGeneration(t *testing.T, f func(t *testing.T)) {
	for _, g := range generations {
		t.Run(g.name, func(t *testing.T) {
			t.Setenv("LONGTAKE_CUDA", g.name)
			d, err := Open(Options{})
			if err != nil && strings.Contains(err.Error(), "which needs "+g.needs) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			f(t)
		})
	}
}

func TestConformance(t *testing.T) {
	eachGeneration(t, func(t *testing.T) { computetest.Run(t, open, 1e-5, 4e-5) })
}
