package cpu

import (
	"os"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/compute/computetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, threads int) compute.Device {
	t.Helper()
	d, err := New(threads)
	if err != nil {
		t.Fatalf("cannot open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("cannot close: %v", err)
		}
	})
	return d
}

// eachSet runs a test with every set of kernels that this machine has, or with the one that the
// environment names.
func eachSet(t *testing.T, test func(t *testing.T)) {
	if os.Getenv("LONGTAKE_CPU") != "" {
		test(t)
		return
	}
	for _, c := range append(candidates(), candidate{kernels: &generic}) {
		t.Run(c.name, func(t *testing.T) {
			if c.lacks != "" {
				t.Skipf("this machine lacks %s", c.lacks)
			}
			t.Setenv("LONGTAKE_CPU", c.name)
			test(t)
		})
	}
}

func TestConformance(t *testing.T) {
	eachSet(t, func(t *testing.T) { computetest.Run(t, open, 1e-5, 1e-5) })
}
