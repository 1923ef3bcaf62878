package shard

import (
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/engine"
)

// TestRateIsSane measures a device.
func TestRateIsSane(t *testing.T) {
	folder, err := OpenModel("")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	e, err := engine.New(folder, engine.Devices{Main: dev, Decode: dev}, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	if speed := rate(dev, e.FeedForward()); speed < 1e6 || speed > 1e14 {
		t.Errorf("%g operations a second", speed)
	}
}
