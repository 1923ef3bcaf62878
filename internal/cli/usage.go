package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

// What jobs have used is summed up by the server. Nothing is computed here, so that a table, an
// export and a bill agree to the last digit.

// usageCommand shows what jobs have used, as a table, or exports it.
func usageCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "usage",
		Short: "Show what clips have used and cost, by key, model and day",
		Long: `Show what clips have used and cost: your own, or with an admin's key those of all.

  longtake usage                                          by key, model and day
  longtake usage --by team --from 2026-11-01 --to 2026-11-30
  longtake usage --by key,device,day -o csv > usage.csv

Days are in UTC, and both ends are included. docs/cost.md says what is metered and when it is
charged.`, Args: daemon.NoArgs}

	f := cmd.Flags()
	by := f.StringSlice("by", []string{"key", "model", "day"},
		"group by some of "+strings.Join(schema.UsageFields, ", ")+`; "" for the sum of all`)
	from := f.String("from", "", "first day, as 2026-01-31")
	to := f.String("to", "", "last day")
	format := f.StringP("output", "o", "table", "table, csv or json")
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := client.UsageQuery{From: *from, To: *to, By: *by}
		if err := checkUsageQuery(q, *format); err != nil {
			return err
		}
		c, err := dial(cmd)
		if err != nil {
			return err
		}

		// A table for programs is the server's own, line by line.
		if *format == "csv" {
			return copyUsage(cmd, c, q)
		}
		l, err := c.Usage(cmd.Context(), q)
		switch {
		case err != nil:
			return err
		case *js || *format == "json":
			return terminal.Lines(cmd.OutOrStdout(), l.Data)
		}
		return printUsage(cmd.OutOrStdout(), q.By, l)
	}
	return cmd
}

// Mistakes in flags are told with the flags' names, without a coordinator having to be there. The
// server checks the same once more, for other clients.

// checkUsageQuery refuses what the server would, before it is asked.
func checkUsageQuery(q client.UsageQuery, format string) error {
	if !slices.Contains([]string{"table", "csv", "json"}, format) {
		return daemon.Usagef("-o is %q; allowed: table, csv, json", format)
	}
	for i, name := range q.By {
		if !slices.Contains(schema.UsageFields, name) || slices.Contains(q.By[:i], name) {
			return daemon.Usagef("--by is %q; allowed: some of %s, each once", strings.Join(q.By, ","),
				strings.Join(schema.UsageFields, ", "))
		}
	}

	for flag, day := range map[string]string{"from": q.From, "to": q.To} {
		if _, err := time.Parse(time.DateOnly, day); err != nil && day != "" {
			return daemon.Usagef("--%s is %q; allowed: a day in UTC, such as 2026-01-31", flag, day)
		}
	}
	return nil
}

// copyUsage writes the server's table as it comes, less what a terminal would obey.
func copyUsage(cmd *cobra.Command, c *client.Client, q client.UsageQuery) error {
	r, err := c.UsageCSV(cmd.Context(), q)
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, client.AnswerMax))
	if err != nil {
		return fmt.Errorf("cannot read the table: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		terminal.Printf(cmd.OutOrStdout(), "%s\n", strings.TrimRight(line, "\r\n"))
	}
	return nil
}

// printUsage lays rows out by the fields that were asked for. A key is shown by its name, where it
// has one. Columns of sums are always the same, so that two tables can be compared.
func printUsage(w io.Writer, by []string, l schema.UsageList) error {
	head := strings.ToUpper(strings.Join(append(slices.Clone(by), "jobs", "device-seconds",
		"charged", "included", "uncharged", "cost"), "\t"))
	return terminal.Table(w, head, func(w io.Writer) {
		for _, r := range l.Data {
			key := r.Key
			if r.KeyName != "" {
				key = r.KeyName
			}
			fields := map[string]string{"key": key, "team": r.Team, "model": r.Model,
				"device": r.Device, "plan": r.Plan, "day": r.Day}
			for _, f := range by {
				terminal.Printf(w, "%s\t", dash(fields[f]))
			}

			cost := ""
			if r.Currency != "" {
				cost = fmt.Sprintf("%v %s", r.Amount, r.Currency)
			}
			terminal.Printf(w, "%d\t%.2f\t%.2f\t%.2f\t%.2f\t%s\n", r.Jobs, r.DeviceSeconds, r.Charged,
				r.Included, r.Uncharged, dash(cost))
		}
	})
}
