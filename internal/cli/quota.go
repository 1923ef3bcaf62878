package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

const quotaHelp = `Show what your key and its team may have, and what they have of it at present.

  longtake quota
  LONGTAKE_API_KEY=lt_... longtake quota --json
  longtake quota --key render                          # another key's, for administrators

A request over a limit is refused, and says which one: with 429 where it may pass later (rate,
queued, bytes), with 403 where it never will (pixels, seconds, priority). A job over running, or
over the device-seconds of the day, waits; "longtake job status" says so. Device-seconds count from
midnight to midnight in UTC, summed over shards.`

// quotaCommand shows the quota of whoever asks: of the key in the settings, or of requests without
// one. Quotas of all keys are for administrators: "longtake key list".
func quotaCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "quota", Short: "Show what your key may have, and what it has of it",
		Long: quotaHelp, Args: daemon.NoArgs}
	key := cmd.Flags().String("key", "", "id or name of another key, for administrators")
	js := asJSON(cmd)
	cmd.RunE = answer(js, func(ctx context.Context, c *client.Client, _ []string) (schema.Quota,
		error) {
		return c.Quota(ctx, *key)
	}, printQuota)
	return cmd
}

// printQuota prints a line for each bound, those of the team behind the client's own, or an object.
// A bound that is not set has a line, too: people look for it.
func printQuota(w io.Writer, q schema.Quota, js bool) error {
	if js {
		return terminal.JSON(w, q)
	}
	return terminal.Table(w, "WHOSE\tWHAT\tLIMIT\tUSED", func(w io.Writer) {
		whose := q.Owner
		if whose == "" {
			whose = "without a key"
		}
		printBounds(w, whose, q.Limits, q.Used)
		if q.TeamLimits != nil && q.TeamUsed != nil {
			printBounds(w, "team "+q.Team, *q.TeamLimits, *q.TeamUsed)
		}
	})
}

// printBounds prints those of one owner or team. What is not counted over time, such as the pixels
// of a frame, has no use.
func printBounds(w io.Writer, whose string, q access.Quota, u schema.Used) {
	row := func(what, limit, used string) {
		terminal.Printf(w, "%s\t%s\t%s\t%s\n", whose, what, limit, used)
	}

	bytes := func(n int64) string { return size(uint64(max(n, 0))) } //nolint:gosec // from 0
	seconds := func(s float64) string { return strconv.FormatFloat(s, 'f', 1, 64) }
	limit := func(set bool, text string) string {
		if !set {
			return "none"
		}
		return text
	}

	rate := fmt.Sprintf("%g a second", q.Rate)
	if q.Burst > 0 {
		rate += fmt.Sprintf(", %d at once", q.Burst)
	}
	// No bound and a highest priority of 0 are not the same.
	priority := 0
	if q.Priority != nil {
		priority = *q.Priority
	}

	// In the order of a job's life: asked for, waiting, running, stored; then what is of each clip.
	row("requests", limit(q.Rate > 0, rate), "-")
	row("jobs that wait", limit(q.Queued > 0, fmt.Sprint(q.Queued)), fmt.Sprint(u.Queued))
	row("jobs that run", limit(q.Running > 0, fmt.Sprint(q.Running)), fmt.Sprint(u.Running))
	row("device-seconds today (UTC)", limit(q.DeviceSeconds > 0, seconds(q.DeviceSeconds)),
		seconds(u.DeviceSeconds))
	row("stored bytes", limit(q.Bytes > 0, bytes(q.Bytes)), bytes(u.Bytes))
	row("pixels of a frame", limit(q.Pixels > 0, fmt.Sprint(q.Pixels)), "-")
	row("seconds of a clip", limit(q.Seconds > 0, fmt.Sprintf("%g", q.Seconds)), "-")
	row("priority", limit(q.Priority != nil, fmt.Sprint(priority)), "-")
	row("weight", fmt.Sprintf("%g", cmp.Or(q.Weight, 1)), "-")
}
