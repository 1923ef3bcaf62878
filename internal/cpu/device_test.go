package cpu

import (
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

func TestConformance(t *testing.T) { computetest.Run(t, open, 1e-5) }
