package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/bench/controlplane"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

const benchCoordinatorHelp = `Load real coordinators with shards that compute nothing, and
measure how they bear it.

The coordinators are started for this, on free ports of this machine and with data in a temporary
folder: the program "coordinator" beside this one or in PATH, each as a process of its own. The
shards are of this process: each registers over a NATS connection of its own, sends heartbeats,
takes orders, reports steps, stores checkpoints and results, and waits in place of computing.
Clients ask for clips, follow them (some by the stream of events), list and cancel them over HTTP,
and drain shards; some shards die.

  longtake bench coordinator                            # one coordinator, 1,024 shards
  longtake bench coordinator --coordinators 3 --locked  # Raft and TLS among three
  longtake bench coordinator --rate 20 --step 200ms     # more than such a cluster can do
  longtake bench coordinator --shards 64 --duration 10s --in-process   # a short look

What the table says:

  all commands    what Raft has on the disks of a majority before it is acknowledged: clips that
                  are created, cancelled, completed; checkpoints; drains. Each time is from the
                  request to its answer, as its sender sees it.
  the other kinds are answered from the leader's memory.
  Raft's log      what all that adds to the log, and how often the log was cut by a snapshot.
  leader          what the leader's process takes of this machine.

With three coordinators the leader is killed in the end, and measured is when the next command is
acknowledged. Then all shards start again at once. The load generator shares the cores with the
coordinators: its part is in the result, and so is what else wanted a core before. On a busy
machine, times say more about the machine than about coordinators.

--json writes all of it as one object. Exit codes: 0; 1: a clip that was acknowledged has no end,
or somebody was told what is not true; 2: a flag is wrong.`

// benchCoordinatorCommand loads coordinators of its own: one that is in use would give the clips of
// its users to shards that make none, and keep the clips of the benchmark.
func benchCoordinatorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "coordinator",
		Short: "Load coordinators with shards that compute nothing",
		Long:  benchCoordinatorHelp, Args: daemon.NoArgs}
	cfg := controlplane.Default()
	f := cmd.Flags()
	f.IntVar(&cfg.Coordinators, "coordinators", cfg.Coordinators, "coordinators: 1 or 3")
	f.BoolVar(&cfg.Locked, "locked", false, "with certificates, as a cluster across machines has them")
	program := f.String("program", "", "path of the program coordinator (default: beside this one, "+
		"or in PATH)")
	here := f.Bool("in-process", false, "run the coordinators within this process")
	f.StringVar(&cfg.Dir, "data", "", "folder for the coordinators' data, on whose disk Raft's log "+
		"is written (default: a temporary one)")
	f.IntVar(&cfg.Shards, "shards", cfg.Shards, "shards")
	f.IntVar(&cfg.PerHost, "per-host", cfg.PerHost, "shards of a host")

	f.IntVar(&cfg.Ranks, "ranks", cfg.Ranks, "shards of a clip")
	f.IntVar(&cfg.Steps, "steps", cfg.Steps, "denoising steps of a clip")
	f.DurationVar(&cfg.StepTime, "step", cfg.StepTime, "time of a step")
	f.IntVar(&cfg.CheckpointBytes, "checkpoint-bytes", cfg.CheckpointBytes, "bytes that are stored "+
		"after each step; 0: there are no checkpoints")
	f.IntVar(&cfg.PreviewBytes, "preview-bytes", cfg.PreviewBytes, "bytes of previews, which are "+
		"sent with checkpoints every two seconds at most; 0: there are none")
	f.Float64Var(&cfg.Rate, "rate", 0, "clips asked for in a second, at random times; 0: as many as "+
		"keep three quarters of the shards at work")
	f.DurationVar(&cfg.Load, "duration", cfg.Load, "how long the load is measured")
	f.IntVar(&cfg.CancelOf, "cancel", cfg.CancelOf, "one clip of so many is cancelled; 0: none")
	f.IntVar(&cfg.Kills, "kill", cfg.Kills, "busy shards that die meanwhile")
	f.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "seed of arrivals and times of steps")
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		cfg.Failover = cfg.Coordinators > 1
		if cfg.Program, err = coordinatorProgram(*program, *here); err != nil {
			return err
		}
		if err := cfg.Check(); err != nil {
			return daemon.Usage(err)
		}

		// Coordinators within the process would log into the table.
		cfg.Log = slog.New(slog.DiscardHandler)
		start := time.Now()
		cfg.Say = func(format string, args ...any) {
			terminal.Printf(cmd.ErrOrStderr(), "%4.0f s  %s\n", time.Since(start).Seconds(),
				fmt.Sprintf(format, args...))
		}

		r, err := controlplane.Run(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		if err := printLoaded(cmd.OutOrStdout(), r, *js); err != nil {
			return err
		}
		return r.Err()
	}
	return cmd
}

// coordinatorProgram finds the program that is measured; "": it runs within this process. The one
// beside this program comes first: it was most likely built with it.
func coordinatorProgram(path string, here bool) (string, error) {
	const name = "coordinator"
	switch {
	case here && path != "":
		return "", daemon.Usagef("--program is %q; allowed: none with --in-process", path)
	case here:
		return "", nil
	case path != "":
		if _, err := os.Stat(path); err != nil {
			return "", daemon.Usagef("--program: %w", err)
		}
		return path, nil
	}

	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", daemon.Usagef("no program coordinator is beside this one or in PATH; give " +
			"--program, or --in-process")
	}
	return path, nil
}

// Times are of one run on one machine: the benchmark says nothing of what it would be elsewhere,
// and so has no bound of its own that a result could pass or fail. What fails it is a promise that
// was not kept, on whichever machine: see controlplane.Result.Err. An answer that took long is not
// one of these.

// printLoaded prints what was measured: a table of what was asked for, then one of what it took.
func printLoaded(w io.Writer, r *controlplane.Result, js bool) error {
	if js {
		return terminal.JSON(w, r)
	}
	err := terminal.Table(w, "KIND\t/S\tCOUNT\tP50\tP99\tMAX\tNO ANSWER", func(w io.Writer) {
		for _, k := range r.Kinds() {
			terminal.Printf(w, "%s\t%.1f\t%d\t%s\t%s\t%s\t%d\n", k.Name, k.PerSecond, k.Count,
				controlplane.Span(k.P50), controlplane.Span(k.P99), controlplane.Span(k.Max), k.Failed)
		}
	})
	if err != nil {
		return err
	}

	terminal.Printf(w, "\n")
	return terminal.Table(w, "MEASURE\tVALUE", func(w io.Writer) {
		for _, row := range r.Rows() {
			terminal.Printf(w, "%s\t%s\n", row.Name, row.Value)
		}
	})
}
