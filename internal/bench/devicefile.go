package bench

import (
	"bytes"
	"fmt"
	"os"

	"github.com/longtake/longtake/internal/perf"
)

// DeviceFile writes a file that describes a kind of device with what rows say was measured on one,
// as perf.Read reads it. where says on which.
func DeviceFile(path string, kind perf.Device, where string, rows []Row) error {
	var measured []perf.Measured
	for _, r := range rows {
		measured = append(measured, perf.Measured{Name: r.Name, DType: r.DType,
			Operations: r.GFLOPS * 1e9})
	}
	d, err := kind.With(measured, where)
	if err != nil {
		return err
	}

	// Nothing is written of a device that cannot be described.
	var text bytes.Buffer
	if err := d.Write(&text); err != nil {
		return err
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil { //nolint:gosec // for all to read
		return fmt.Errorf("cannot write the device's file: %w", err)
	}
	return nil
}
