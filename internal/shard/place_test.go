package shard

import (
	"testing"

	"github.com/longtake/longtake/internal/topology"
)

func TestReadRates(t *testing.T) {
	got, err := ReadRates([]string{"network=1.2GB", " racks = 300MB"})
	if want := (topology.Rates{Net: 1.2e9, Far: 3e8}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range [][]string{{"network"}, {"network=0"}, {"network=fast"}, {"net=1GB"},
		{"host=1GB", "host=2GB"}, {"racks=2PB"}} {
		if r, err := ReadRates(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, r)
		}
	}
}

func TestReadDelays(t *testing.T) {
	got, err := ReadDelays([]string{"network=10ms", " racks = 0.02s"})
	if want := (topology.Delays{Net: 0.01, Far: 0.02}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range [][]string{{"network"}, {"network=0s"}, {"network=-1ms"}, {"net=1ms"},
		{"host=1ms", "host =2ms"}, {"racks=11s"}, {"racks=10"}} {
		if d, err := ReadDelays(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, d)
		}
	}
}

func TestTheMachineHasALabel(t *testing.T) {
	if name := machineName(); name == "" || name != machineName() || topology.CheckLabel(name) != nil {
		t.Errorf("the machine is called %q", name)
	}
}
