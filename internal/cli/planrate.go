package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/advise"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

// rateMost bounds a rate, in clips an hour.
const rateMost = 1e6

// clipsPerHour reads a rate such as 30/h, 0.5/min or 2/s.
func clipsPerHour(rate string) (float64, error) {
	const hour = 3600
	number, unit, _ := strings.Cut(rate, "/")
	v, err := strconv.ParseFloat(number, 64)
	times, known := map[string]float64{"h": 1, "min": 60, "s": hour, "d": 1. / 24}[unit]
	if v *= times; err != nil || !known || !(v > 0 && v <= rateMost) {
		return 0, daemon.Usagef("--rate is %.40q; allowed: clips such as 30/h, 0.5/min, 2/s or 200/d, "+
			"up to %g an hour", rate, rateMost)
	}
	return v, nil
}

// checkRate checks what was asked of a rate, before anything is predicted: an objective without a
// rate has nothing that it could be about.
func (a *planAsk) checkRate() error {
	if a.objective < 0 || a.objective > 0 && a.rate == "" {
		return daemon.Usagef("--objective is %v; allowed: above 0, with --rate", a.objective)
	}
	if a.rate == "" {
		return nil
	}
	_, err := clipsPerHour(a.rate)
	return err
}

// printRate says how many devices of each pool's kind a rate needs. They may be more than the pool
// has.
func (a *planAsk) printRate(w io.Writer, plans []planned) error {
	rate, err := clipsPerHour(a.rate)
	if err != nil {
		return err
	}
	within := "without an objective"
	if a.objective > 0 {
		within = fmt.Sprintf("95 %% within %v", a.objective)
	}

	// The kind of device is that of the mesh, which a mixed pool has on its fastest ones.
	terminal.Printf(w, "\nfor %s, %s, all for this:\n", a.rate, within)
	for _, p := range plans {
		s, ok := advise.Size(p.options, rate, a.objective.Seconds())
		if !ok {
			terminal.Printf(w, "  %s: no mesh of it is fast enough\n", p.pool.Name)
			continue
		}

		device, there := p.pool.Nodes[s.Nodes[0]].Device.Name, 0
		for _, n := range p.pool.Nodes {
			if n.Device.Name == device {
				there++
			}
		}

		terminal.Printf(w, "  %s: %d x %s (it has %d), as %d times %s; ", p.pool.Name, s.Devices, device,
			there, s.Servers, s.Mesh)
		terminal.Printf(w, "%.0f %% busy, 95 %% wait up to %s\n", 100*s.Busy, span(s.Wait))
	}
	return nil
}
