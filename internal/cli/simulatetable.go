package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/sim/scenario"
	"github.com/longtake/longtake/internal/terminal"
)

// printSimulated tells what a day came to: how long clips took, by class; where the time of devices
// went; what happened; and what the leading coordinator had to do. The series is in the JSON, and
// in the figures of a report, if there is one in dir.
func printSimulated(w io.Writer, r *scenario.Result, dir string) error {
	terminal.Printf(w, "%s: %s (%d devices on %s), %.4g h of requests, seed %d\n\n",
		cmp.Or(r.Scenario, "scenario"), r.Pool, r.Devices, count(r.Hosts, "host"), r.Hours, r.Seed)

	if err := printClasses(w, r); err != nil {
		return err
	}

	// Shares first, then the hours that they are of.
	d := r.DeviceHours
	terminal.Printf(w, "\nutilisation  %5.1f %% of the devices that were there, while requests came\n",
		100*r.Utilisation)
	terminal.Printf(w, "goodput      %5.1f %% of all device time went into clips that were "+
		"delivered\n", 100*r.Goodput)
	terminal.Printf(w, "device-hours %.1f in all: %.1f useful, %.2f setup, %.2f lost, %.1f idle, "+
		"%.1f away\n", d.Total, d.Useful, d.Setup, d.Lost, d.Idle, d.Away)

	if len(r.Incidents) > 0 {
		var parts []string
		for _, kind := range slices.Sorted(maps.Keys(r.Incidents)) {
			parts = append(parts, fmt.Sprintf("%d %s", r.Incidents[kind], kind))
		}
		terminal.Printf(w, "incidents    %s (of devices, or of the leader)\n", strings.Join(parts, ", "))
	}

	c := r.Coordinator
	terminal.Printf(w, "coordinator  %.2f commands/s (most in a second: %d), %.0f heartbeats/s, log "+
		"%s/h, snapshot up to %s, %s\n", c.PerSecond, c.Most, c.Heartbeats,
		plan.Bytes(int64(c.LogPerHour)), plan.Bytes(int64(c.SnapshotMost)),
		count(c.Elections, "election"))
	terminal.Printf(w, "log          sha256 %s\n", r.Log)
	if dir != "" {
		terminal.Printf(w, "report       %s\n", filepath.Join(dir, "report.md"))
	}
	return nil
}

// printClasses shows how long the clips of each class took, and of all together. A percentile says
// more than a mean where some clips wait for long, as they do in every queue that is well used.
func printClasses(w io.Writer, r *scenario.Result) error {
	groups := r.Classes
	if len(groups) > 1 {
		groups = append(slices.Clip(groups), r.All)
	}

	return terminal.Table(w, "CLIPS\tASKED\tDONE\tFAILED\tREFUSED\tWAIT p50\tp90\tp99\tLATENCY p50\t"+
		"p90\tp99\tIN TIME", func(t io.Writer) {
		for _, g := range groups {
			inTime := "-"
			if g.Objective > 0 {
				inTime = fmt.Sprintf("%.1f %% of %s", 100*g.Met, briefly(g.Objective))
			}
			wait, took := g.Wait, g.Latency
			terminal.Printf(t, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Name, g.Asked,
				g.Completed, g.Failed, g.Refused, briefly(wait.P50), briefly(wait.P90), briefly(wait.P99),
				briefly(took.P50), briefly(took.P90), briefly(took.P99), inTime)
		}
	})
}

// briefly prints seconds: 0.0s, 4.2s, 3m10s, 2h5m. Below ten seconds a tenth counts.
func briefly(seconds float64) string {
	if seconds < 10 {
		return fmt.Sprintf("%.1fs", seconds)
	}
	return longSpan(time.Duration(seconds * float64(time.Second)))
}
