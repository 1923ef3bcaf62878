package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/bench"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/shard"
	"github.com/longtake/longtake/internal/terminal"
)

const benchEngineHelp = `Time the engine's parts on this machine: matrix products and their share of
the peak that is measured at the same time, attention, passes of the transformer, the decoder, a
whole clip.

With --torch both sides take turns, item by item, and the ratio is ours over theirs:

  longtake bench engine --torch "python3 tools/bench_torch.py models/demo"`

// benchEngineCommand times matrix products, attention and the rest of a step on this machine's CPU,
// against another library if one is there. Rows are printed as they are measured, since all of them
// take minutes. The model is always the built-in one.
func benchEngineCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "engine",
		Short: "Time the engine's parts, and compare them with PyTorch",
		Long:  benchEngineHelp, Args: daemon.NoArgs}
	f := cmd.Flags()
	torch := f.String("torch", "", "command that times the same in PyTorch")
	threads := f.Int("threads", runtime.NumCPU(), "threads")
	rounds := f.Int("rounds", 3, "turns of each side")

	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *rounds < 1 || *rounds > 1000 {
			return daemon.Usagef("--rounds is %d; allowed: 1 to 1000", *rounds)
		}
		if *threads < 1 || *threads > 1024 {
			return daemon.Usagef("--threads is %d; allowed: 1 to 1024", *threads)
		}

		out := cmd.OutOrStdout()
		c := bench.Config{Threads: *threads, Rounds: *rounds, Clip: clipProcess(cmd.Context())}
		c.Report = func(r bench.Row) { printEngineRow(out, r) }
		if *js {
			c.Report = func(r bench.Row) { _ = terminal.JSON(out, r) }
		}
		var err error
		if c.Folder, err = shard.OpenModel(""); err != nil {
			return err
		}
		defer c.Folder.Close()

		// Without its peer the benchmark still says how fast this machine is.
		if *torch != "" {
			if c.Peer, err = bench.StartPeer(cmd.Context(), strings.Fields(*torch)); err != nil {
				terminal.Printf(cmd.ErrOrStderr(), "no comparison: %v\n", err)
			} else {
				defer c.Peer.Close()
			}
		}
		if !*js {
			printEngineHead(out, c.Peer)
		}
		return bench.Run(c)
	}
	return cmd
}

// clipProcess returns a function that makes the benchmark's clip in a process of its own, whose
// memory and threads are then those of the clip alone. The command's output is kept for the error,
// and the clip is thrown away.
func clipProcess(ctx context.Context) func(t compute.DType) error {
	return func(t compute.DType) error {
		dir, err := os.MkdirTemp("", "longtake-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)

		// The same binary, so that the clip is made by the code that was timed.
		self, err := os.Executable()
		if err != nil {
			return err
		}

		clip := exec.CommandContext(ctx, self, "generate", "-p", //nolint:gosec // this program
			"a red ball bouncing over the sea at sunset", "--dtype", t.String(), "--device", "cpu",
			"-o", filepath.Join(dir, "clip.webm"))
		if out, err := clip.CombinedOutput(); err != nil {
			return fmt.Errorf("generate: %w: %s", err, out)
		}
		return nil
	}
}

// engineRow is the layout of a row of the table. Widths are fixed, as a row is printed before the
// next one is known.
const engineRow = "%-42s %-5s %7v %9s %8s %6s %9s %6s\n"

// printEngineHead prints the head of the table, with p's name over its column.
func printEngineHead(w io.Writer, p *bench.Peer) {
	peer := ""
	if p != nil {
		terminal.Printf(w, "compared with %s; * against the better of its types\n", p.Name)
		peer = "THEIRS"
	}
	terminal.Printf(w, engineRow, "ITEM", "DTYPE", "THREADS", "TIME", "GFLOP/S", "PEAK", peer, "RATIO")
}

// printEngineRow prints one row as soon as it is measured. Cells that do not apply stay empty: not
// every item has a count of operations, a peak or a peer. TIME is of one run, RATIO is ours over
// theirs: below 1 we are faster.
func printEngineRow(w io.Writer, r bench.Row) {
	speed, peak, peer, ratio := "", "", "", ""
	if r.GFLOPS > 0 {
		speed = fmt.Sprintf("%.1f", r.GFLOPS)
	}
	if r.Peak > 0 {
		peak = fmt.Sprintf("%.2f", r.Peak)
	}
	if r.Peer > 0 {
		peer, ratio = span(r.Peer), fmt.Sprintf("%.2f", r.Ratio)
		if r.Best {
			ratio += "*"
		}
	}
	terminal.Printf(w, engineRow, r.Name, r.DType, r.Threads, span(r.Seconds), speed, peak, peer,
		ratio)
}
