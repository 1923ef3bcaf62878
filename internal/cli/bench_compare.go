package cli

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/userfile"
)

const compareHelp = `Compare two servers, or two versions of one, by results of the same scenario.

  longtake bench compare before/ after/ --gate 5%
  longtake bench compare a1.json,a2.json,a3.json b1.json,b2.json,b3.json

A and B are one result each, a folder or its result.json, or several with commas. Machines drift, so
measure both sides in turn: A, B, A, B, and so on; eight short runs a side show smaller
differences than one long run. A difference is only called one if chance makes so large
a one in about one of a hundred comparisons of equal servers; COULD SHOW is the smallest
that four of five such comparisons would have found.

Results of different scenarios, prompts or seeds are refused, and those of different
models, devices and so on, unless --across names what may differ. Versions always may.

Exit codes: 1 if B is clearly worse and, as far as these data can tell, may be worse by
the gate; 2 if the two cannot be compared; else 0.`

// benchCompareCommand compares results. It asks no server: files are all it needs, so that it runs
// wherever results are kept, also of servers that are gone.
func benchCompareCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "compare A B", Short: "Compare two servers by their results",
		Long: compareHelp, Args: twoResults}
	gate := cmd.Flags().String("gate", "0%", "how much worse B may be, such as 5%")
	across := cmd.Flags().StringSlice("across", nil, "what may differ: "+
		strings.Join(result.Across, ", "))
	seed := cmd.Flags().Uint64("seed", 1, "seed of the bootstrap")
	js := cmd.Flags().Bool("json", false, "print JSON")

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := result.Options{Across: *across, Seed: *seed}
		var err error
		if o.Gate, err = gateOf("--gate", *gate); err != nil {
			return err
		}

		// All that is wrong with files comes before anything is computed.
		a, err := readResults(args[0])
		if err != nil {
			return err
		}
		b, err := readResults(args[1])
		if err != nil {
			return err
		}

		// What is wrong with the two is the caller's choice of files: usage, and not a failure.
		c, err := result.Compare(a, b, o)
		if err != nil {
			return daemon.Usagef("%w", err)
		}

		// The table comes in any case: who reads why a gate is closed wants to see all of it.
		if *js {
			err = terminal.JSON(cmd.OutOrStdout(), c)
		} else {
			err = printComparison(cmd.OutOrStdout(), c)
		}
		if err == nil && len(c.Regressions) > 0 {
			err = regression(c)
		}
		return err
	}
	return cmd
}

// twoResults wants exactly two arguments. A shell's pattern for many files would give more, and of
// these nobody knows which are A.
func twoResults(cmd *cobra.Command, args []string) error {
	if len(args) != 2 {
		return daemon.Usagef("%s takes two results, A and B; runs of one side are separated by commas",
			cmd.CommandPath())
	}
	return nil
}

// gateOf reads a share that is given as 5%. The sign has to be there: 0.05 and 5 would both be read
// as what the other means.
func gateOf(flag, text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(v >= 0 && v <= 100) {
		return 0, daemon.Usagef("%s is %q; allowed: 0%% to 100%%, such as 5%%", flag, text)
	}
	return v / 100, nil
}

// readResults reads the runs of a side: paths with commas between them. A path with a comma of its
// own cannot be given.
func readResults(paths string) ([]result.Result, error) {
	var out []result.Result
	for _, path := range strings.Split(paths, ",") {
		r, err := readResult(path)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// readResult reads one result.json, or that of a folder which a run has left. What is wrong with it
// is a usage error: the caller can name another file, and trying again does not help.
func readResult(path string) (result.Result, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "result.json")
	}
	f, err := userfile.Open(path)
	if err != nil {
		return result.Result{}, daemon.Usagef("%w", err)
	}
	defer f.Close()
	r, err := result.Read(f)
	if err != nil {
		return r, daemon.Usagef("%s: %w", path, err)
	}
	return r, nil
}

// regression says why a gate is closed: which metrics are worse, and by how much.
func regression(c result.Comparison) error {
	// Each with its interval: a reader decides by it whether to believe the gate or to measure again.
	var worse []string
	for _, m := range c.Metrics {
		switch {
		case !slices.Contains(c.Regressions, m.Name):
		case m.Low > 0:
			worse = append(worse, fmt.Sprintf("%s %s (%s)", m.Name, change(m.Ratio), intervalOf(m)))
		default:
			worse = append(worse, fmt.Sprintf("%s %s, %s", m.Name, figure(m.A, m.Unit),
				figure(m.B, m.Unit)))
		}
	}

	by := ""
	if c.Gate > 0 {
		by = ", and may be so by " + share(c.Gate)
	}
	return fmt.Errorf("B is clearly worse than A%s: %s", by, strings.Join(worse, "; "))
}

// printComparison prints a table for people, with what they have to know around it: what was
// compared and in what the sides differ before it, and what limits the comparison after it.
func printComparison(w io.Writer, c result.Comparison) error {
	terminal.Printf(w, "%s\n", c.Design)
	for _, d := range c.Differences {
		terminal.Printf(w, "%s: %s, %s\n", d.Name, d.A, d.B)
	}

	// The verdict comes last, where the eye ends.
	err := terminal.Table(w, "METRIC\tA\tB\tCHANGE\tINTERVAL\tCOULD SHOW\tVERDICT", func(w io.Writer) {
		for _, m := range c.Metrics {
			terminal.Printf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, figure(m.A, m.Unit),
				figure(m.B, m.Unit), change(m.Ratio), intervalOf(m), couldShow(m), m.Verdict)
		}
	})
	for _, n := range c.Notes {
		terminal.Printf(w, "%s\n", n)
	}
	return err
}

// figure prints a value with its unit, "s" in the units that people read. Four digits are more than
// an interval leaves, and enough to look a value up in a report.
func figure(v float64, unit string) string {
	if unit == "s" {
		return span(v)
	}
	return strings.TrimSpace(strconv.FormatFloat(v, 'g', 4, 64) + " " + unit)
}

// change prints a ratio as what B has more or less, "-" where there is none. Small changes have one
// decimal more, so that bounds of the same sign do not both print as 0.
func change(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	percent, decimals := 100*(ratio-1), 1
	if math.Abs(percent) < 1 {
		decimals = 2
	}
	return fmt.Sprintf("%+.*f%%", decimals, percent)
}

// intervalOf prints the bounds of a change.
func intervalOf(m result.Metric) string {
	if m.Low == 0 {
		return "-"
	}
	return change(m.Low) + " to " + change(m.High)
}

// couldShow prints the smallest difference that would have been found, so that a reader can tell
// "no difference" from "not measured well enough".
func couldShow(m result.Metric) string {
	if m.Smallest == 0 || math.IsInf(m.Smallest, 0) {
		return "-"
	}
	return share(m.Smallest)
}

// share prints a part of one in percent, as 5%.
func share(v float64) string { return strconv.FormatFloat(100*v, 'g', 2, 64) + "%" }

// benchSchemaCommand prints the schema, for programs that read results. It is that of this
// program's version, which refuses results of any other.
func benchSchemaCommand() *cobra.Command {
	return &cobra.Command{Use: "schema", Short: "Print the JSON Schema of result.json",
		Long: "Print the JSON Schema (draft 2020-12) of result.json, with what each field means.",
		Args: daemon.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := cmd.OutOrStdout().Write(result.Schema()); err != nil {
				return errors.Join(errors.New("cannot print the schema"), err)
			}
			return nil
		}}
}

const reportHelp = `Make a report of a result: report.md with tables and figures (SVG), and
bench.txt in the format of Go's benchmarks, for benchstat.

  longtake bench report bench-server/ -o report/

What a run left behind, such as one that was interrupted, is summed up again.`

// benchReportCommand writes what people read of a result. Files of an earlier report are replaced;
// others in the folder stay.
func benchReportCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "report RESULT", Short: "Make tables and figures of a result",
		Long: reportHelp, Args: oneArg("RESULT")}
	dir := cmd.Flags().StringP("output", "o", "", "folder for the files; it is made if need be")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *dir == "" {
			return daemon.Usagef("--output is empty; allowed: a folder")
		}
		r, err := readResult(args[0])
		if err != nil {
			return err
		}

		// By this version's rules, whatever version wrote the file.
		r.Summarize()
		if err := result.Save(*dir, r); err != nil {
			return err
		}
		terminal.Printf(cmd.OutOrStdout(), "%s\n", filepath.Join(*dir, "report.md"))
		return nil
	}
	return cmd
}
