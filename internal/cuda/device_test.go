//go:build cuda

package cuda

import (
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/compute/computetest"
)

// open opens a device whose allocations the emulated driver can tell apart. Closing it reports
// what it left behind.
func open(t testing.TB, _ int) compute.Device {
	t.Helper()
	d, err := Open(Options{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("cannot close: %v", err)
		}
	})
	return d
}

func TestConformance(t *testing.T) { computetest.Run(t, open, 1e-5) }
