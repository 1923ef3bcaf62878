package cpu

import (
	"os"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/compute/computetest"
	"github.com/longtake/longtake/internal/underrace"
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
// environment names. Under the race detector that is the generic one: the detector does not see
// what assembly reads and writes, and the threads are the same.
func eachSet(t *testing.T, test func(t *testing.T)) {
	if os.Getenv("LONGTAKE_CPU") != "" {
		test(t)
		return
	}
	sets := append([]candidate{{kernels: &generic}}, candidates()...)
	for _, c := range underrace.Some(sets, 1) {
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
	underrace.Rounds(t, 3)
	eachSet(t, func(t *testing.T) { computetest.Run(t, open, 1e-5, 1e-5) })
}
