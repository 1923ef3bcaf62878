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

func TestTheMachineHasALabel(t *testing.T) {
	if name := machineName(); name == "" || name != machineName() || topology.CheckLabel(name) != nil {
		t.Errorf("the machine is called %q", name)
	}
}
