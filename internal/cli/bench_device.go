package cli

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/bench/machine"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/topology"
)

const benchDeviceHelp = `Measure this machine's CPU in under a minute, as a device for
which "plan" predicts clips:
passes of transformers of several widths and lengths, and decoders, on all cores by one
rank and on one core each by several; what a clip, a step, a message and a byte between
ranks take beside that. The file goes to stdout, or to --output:

  longtake bench device -o mine.yaml
  longtake plan --pool '4x(2x./mine.yaml)+10g'

This is a plan for four such machines with two ranks each, which share its cores. A GPU
is measured by "bench gpu --device-file".`

// benchDeviceCommand measures this machine for the planner. It needs the built-in model, of which
// it takes all but the transformer.
func benchDeviceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "device", Short: "Measure this machine's CPU for the planner",
		Long: benchDeviceHelp, Args: daemon.NoArgs}
	f := cmd.Flags()
	output := f.StringP("output", "o", "", "file to write (default: stdout)")
	name := f.String("name", "this-cpu", "name of the device")
	rounds := f.Int("rounds", 7, "turns of each item; the fastest tenth of its runs counts")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *rounds < 3 || *rounds > 1000 {
			return daemon.Usagef("--rounds is %d; allowed: 3 to 1000", *rounds)
		}
		if err := topology.CheckLabel(*name); err != nil || *name == "" {
			return daemon.Usagef("--name is %.64q; allowed: %s", *name, topology.LabelAllowed)
		}
		if *output != "" { // before half a minute of measuring
			if err := checkFile(*output); err != nil {
				return err
			}
		}

		var text bytes.Buffer
		if err := measureDevice(cmd, *name, *rounds, &text); err != nil {
			return err
		}
		if *output == "" {
			terminal.Printf(cmd.OutOrStdout(), "%s", text.String())
			return nil
		}
		if err := os.WriteFile(*output, text.Bytes(), 0o644); err != nil { //nolint:gosec // for all
			return fmt.Errorf("cannot write the device's file: %w", err)
		}
		return nil
	}
	return cmd
}

// measureDevice writes the file of this machine.
func measureDevice(cmd *cobra.Command, name string, rounds int, to *bytes.Buffer) error {
	// The types that models are loaded for on CPUs.
	ctx := cmd.Context()
	g, err := machine.Open(compute.FP32, compute.BF16)
	if err != nil {
		return err
	}
	d, err := g.Measure(ctx, rounds)
	if cerr := g.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}

	// Clips are made last: what they take beside passes follows from what passes take.
	dir, err := os.MkdirTemp("", "longtake-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := machine.Overheads(ctx, &d, dir, machine.Here); err != nil {
		return err
	}

	// How far off it is belongs to the figures, and shows whether the machine was quiet.
	d.Name = name
	terminal.Printf(cmd.ErrOrStderr(),
		"single measurements differ by %.0f %% from what the file says\n", 100*d.Overhead.Error)
	return d.Write(to)
}
