package shard

import (
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"

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
		name, size, _ := strings.Cut(text, "=")
		class := slices.Index(topology.RateNames, strings.TrimSpace(name))
		n, err := humanize.ParseBytes(strings.TrimSpace(size))
		twice := func(o string) bool { return strings.HasPrefix(strings.TrimSpace(o), name+"=") }
		if class < 0 || err != nil || n == 0 || float64(n) > topology.RateMost ||
			slices.ContainsFunc(list[:i], twice) {
			return r, fmt.Errorf("bandwidth has %q; allowed: %s, each once, with bytes a second up to "+
				"1PB, such as network=1.2GB", text, strings.Join(topology.RateNames, ", "))
		}
		r = r.With(topology.Class(class), float64(n))
	}
	return r, nil
}
