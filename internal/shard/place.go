package shard

import (
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/longtake/longtake/internal/topology"
)

// machineName is the label of the machine that this process runs on: its name. Machines that are
// all called localhost are told apart by their boots.
func machineName() string {
	name, err := os.Hostname()
	short, _, _ := strings.Cut(name, ".")
	if err == nil && short != "" && short != "localhost" {
		return topology.Label(name)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "localhost"
	}
	h := fnv.New32a()
	h.Write(boot)
	return fmt.Sprintf("localhost-%08x", h.Sum32())
}

// ReadRates reads what links carry, as CLASS=BYTES each, such as network=1.2GB: bytes per second
// and direction.
func ReadRates(list []string) (r topology.Rates, err error) {
	for i, text := range list {
		class, size, ok := ofClass(list, i)
		n, err := humanize.ParseBytes(size)
		if !ok || err != nil || n == 0 || float64(n) > topology.RateMost {
			return r, fmt.Errorf("bandwidth has %q; allowed: %s, each once, with bytes a second up to "+
				"1PB, such as network=1.2GB", text, strings.Join(topology.RateNames, ", "))
		}
		r = r.With(class, float64(n))
	}
	return r, nil
}

// ReadDelays reads how long messages take on links, as CLASS=DURATION each, such as network=10ms.
func ReadDelays(list []string) (d topology.Delays, err error) {
	for i, text := range list {
		class, takes, ok := ofClass(list, i)
		t, err := time.ParseDuration(takes)
		if !ok || err != nil || t <= 0 || t.Seconds() > topology.DelayMost {
			return d, fmt.Errorf("delay has %q; allowed: %s, each once, with a duration up to %ds, "+
				"such as network=10ms", text, strings.Join(topology.RateNames, ", "), topology.DelayMost)
		}
		d = d.With(class, t.Seconds())
	}
	return d, nil
}

// ofClass splits an element CLASS=VALUE of a list, false where the class is none, or is there
// twice.
func ofClass(list []string, i int) (_ topology.Class, value string, ok bool) {
	name, value, _ := strings.Cut(list[i], "=")
	name = strings.TrimSpace(name)
	twice := func(o string) bool {
		other, _, _ := strings.Cut(o, "=")
		return strings.TrimSpace(other) == name
	}
	class := slices.Index(topology.RateNames, name)
	return topology.Class(class), strings.TrimSpace(value),
		class >= 0 && !slices.ContainsFunc(list[:i], twice)
}
