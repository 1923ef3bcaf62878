package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sim"
	"github.com/longtake/longtake/internal/sim/scenario"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/userfile"
)

// simulateCommand runs a day of a cluster that need not exist. It needs no device and no weights,
// and asks no coordinator. The result is on stdout, as a table or as one line of JSON that has a
// version; how far it is, on stderr and only on a terminal. Wrong values are found before anything
// runs, and are usage errors; a broken promise of the coordinators is exit code 1.
func simulateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "simulate SCENARIO", Short: "Simulate a day of a cluster of any size",
		Long: `Simulate a day of a cluster that need not exist: who waits for how long, how busy devices
are, what failures cost, and what the coordinators have to do. The decisions are the real
ones, those of this program's coordinators; times of clips are those of longtake plan.

  longtake simulate --example > day.yaml      a scenario with all keys explained
  longtake simulate --example thousand        one of 1,024 devices and 200 failures
  longtake simulate day.yaml
  longtake simulate day.yaml --pool '128x(8xH100)+ib400' --rate 2000/h --seed 7
  longtake simulate day.yaml --json | jq .all.wait
  longtake simulate day.yaml -o day/          a report with figures: day/report.md

A scenario is a file of YAML: the devices, what kinds of clips are asked for and how
often, and what fails. The same seed gives the same day, bit for bit, which is what the
hash of the log shows. Another seed is another day of the same kind: try several before
you trust a tail.

The folder of --output gets result.json (what --json prints), report.md, and figures
(SVG): the queue, waits over the day and by class, utilisation and goodput with faults,
commands and log of the coordinators. It may be new, or hold an earlier simulation.

Every decision is checked against what longtake promises of any cluster: no job is lost
or made twice, no device has two ranks, all device time is accounted for. A violation ends
the run with exit code 1. docs/scale.md has what was found in this way.`,
		Args: cobra.MaximumNArgs(1)}
	f := cmd.Flags()
	var a simulateAsk
	f.Uint64Var(&a.seed, "seed", 0, "draw other arrivals and faults (default: the scenario's)")
	f.StringVar(&a.pool, "pool", "", "other devices than the scenario's")
	f.StringVar(&a.rate, "rate", "", "another rate of arrivals than the scenario's, such as 400/h")
	f.StringVarP(&a.dir, "output", "o", "", "folder for a report with figures (default: none)")
	f.BoolVar(&a.example, "example", false, "print a scenario and end: day, or the named one")
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.example {
			return printExample(cmd.OutOrStdout(), args)
		}
		if len(args) == 0 {
			return daemon.Usagef("simulate takes the file of a scenario, or --example")
		}

		p, err := a.plan(args[0])
		if err != nil {
			return daemon.Usage(err)
		}
		if a.dir != "" {
			if err := scenario.Folder(a.dir); err != nil {
				return daemon.Usagef("--output: %w", err)
			}
		}

		r, err := runScenario(cmd.Context(), cmd.ErrOrStderr(), p)
		if err != nil {
			return err
		}
		if a.dir != "" {
			if err := r.Save(a.dir); err != nil {
				return err
			}
		}
		if *js {
			return terminal.JSON(cmd.OutOrStdout(), r)
		}
		return printSimulated(cmd.OutOrStdout(), r, a.dir)
	}
	return cmd
}

// printExample prints the example of a name, the first one if there is none.
func printExample(w io.Writer, args []string) error {
	name := scenario.ExampleNames[0]
	if len(args) > 0 {
		name = args[0]
	}
	text, err := scenario.Example(name)
	if err != nil {
		return daemon.Usagef("--example: %w", err)
	}
	_, err = w.Write([]byte(text))
	return err
}

// simulateAsk is what flags say in place of the scenario; zero ones leave it as it is.
type simulateAsk struct {
	seed       uint64
	pool, rate string
	dir        string // for a report
	example    bool
}

// plan reads a scenario, opens its pool and its models, and draws the day. Flags go before the
// file, for sweeps: of rates for a capacity curve, of seeds for the spread of a tail.
func (a *simulateAsk) plan(path string) (*scenario.Plan, error) {
	text, err := userfile.Read(path, scenario.FileMax)
	if err != nil {
		return nil, err
	}
	s, err := scenario.Read(text)
	if err != nil {
		return nil, wrap(path, err)
	}

	if a.seed != 0 {
		s.Seed = a.seed
	}
	if a.pool != "" {
		s.Cluster.Pool = a.pool
	}
	if a.rate != "" {
		if s.Arrivals.Rate, err = scenario.ParseRate(a.rate); err != nil {
			return nil, wrap("--rate", err)
		}
	}

	// What is named in the scenario is looked for as longtake plan does.
	pool, err := poolOpener{}.named(s.Cluster.Pool)
	if err != nil {
		where := path + ": cluster.pool"
		if a.pool != "" {
			where = "--pool"
		}
		return nil, wrap(where, err)
	}

	var models job.Models
	for _, name := range s.Cluster.Models {
		m, err := describe(name)
		if err != nil {
			return nil, wrap(path+": cluster.models", err)
		}
		models = append(models, m)
	}
	p, err := scenario.Make(s, pool.Pool, models)
	return p, wrap(path, err)
}

// wrap says of which file, or flag, an error is; nil stays nil. The error itself names the key, and
// often the line.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// runScenario simulates, and shows on a terminal how far it is. Ctrl-C ends it at the next point of
// the series, of which a day has 288.
func runScenario(ctx context.Context, w io.Writer, p *scenario.Plan) (*scenario.Result, error) {
	// Most of what is allocated is short-lived, and there is memory enough: a day of a thousand
	// devices has some hundred megabytes that live.
	const garbage = 400
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))

	shows := isTerminal(w)
	r, err := p.Run(func(part float64) bool {
		if shows {
			terminal.Printf(w, "\rsimulated %3.0f %%", 100*min(part, 1))
		}
		return ctx.Err() == nil
	})
	if shows {
		terminal.Printf(w, "\r\x1b[K")
	}

	if errors.Is(err, sim.ErrStopped) {
		return nil, context.Cause(ctx)
	}
	return r, err
}
