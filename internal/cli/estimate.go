package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/terminal"
)

// Estimates are rounded to what they can know: three digits. With --json they are as the
// coordinator has them.

// An estimate takes a request as far as it goes: the files are sent, too, as the length of a video
// decides on that of the clip. What goes on from a video of the coordinator's is another request,
// of which there is no estimate yet.

// estimateAt asks a coordinator what the clip takes, in place of making it.
func (g *generation) estimateAt(ctx context.Context, c *client.Client) error {
	if g.inputs.video != "" {
		return daemon.Usagef("--estimate does not go with --extend of a video; allowed: a file " +
			"of latents")
	}
	e, err := c.Estimate(ctx, g.request, g.inputs.upload()...)
	if err != nil {
		return err
	}
	if g.json {
		return terminal.JSON(g.stdout, e)
	}
	return printEstimate(g.stdout, e)
}

// printEstimate lays an estimate out, one line for each thing that it says.
func printEstimate(w io.Writer, e schema.Estimate) error {
	return terminal.Table(w, "ABOUT\tESTIMATE", func(w io.Writer) {
		line := func(key, format string, args ...any) {
			terminal.Printf(w, "%s\t%s\n", key, fmt.Sprintf(format, args...))
		}
		// What the clip is comes first: defaults have been filled in.
		line("clip", "%s of %s, %s", count(e.Frames, "frame"), e.Size, e.Model)
		kinds := slices.Compact(slices.Sorted(slices.Values(e.Devices)))
		if len(kinds) > 0 {
			line("shards", "%d (%s), %s", len(e.Shards), strings.Join(kinds, "; "), e.Mesh)
		}
		line("memory", "%s on a shard", plan.Bytes(e.Memory))

		// Without a speed there is nothing to say of time or money.
		if e.DeviceSeconds == 0 {
			line("time", "not known: no shard has said how fast it is")
		} else {
			line("device-seconds", "%.3g (%.3g to %.3g), %s", e.DeviceSeconds, e.Range[0], e.Range[1],
				basis(e.Samples))
			line("computing", "%s", span(e.ComputeSeconds))
		}

		// The time above is without that: nobody knows how long others take to decide.
		switch {
		case e.Waiting != "" && e.Ahead > 0:
			line("waits", "%s; %s before it", e.Waiting, count(e.Ahead, "job"))
		case e.Waiting != "":
			line("waits", "%s", e.Waiting)
		default:
			line("waits", "no: it would start at once")
		}
		if c := e.Cost; c != nil {
			line("cost", "%v %s (%v to %v)", c.Amount, c.Currency, c.Low, c.High)
		}
	})
}

// basis says what an estimate goes by.
func basis(samples int) string {
	if samples == 0 {
		return "by the rated speed of the shards"
	}
	return "by " + count(samples, "completed job")
}

// expectedText sets the estimate of a job beside what it took, once that is known.
func expectedText(e schema.Expected) string {
	text := fmt.Sprintf("%s, %s, %s", deviceSeconds(e.DeviceSeconds), span(e.ComputeSeconds),
		basis(e.Samples))
	if e.Took > 0 {
		text += fmt.Sprintf("; it took %.4g (estimate %s)", e.Took, apart(e.Off))
	}
	if e.TookWhole > 0 {
		text += fmt.Sprintf(", %s (%s)", span(e.TookWhole), apart(e.ComputeOff))
	}
	return text
}

// apart says by how much an estimate was off.
func apart(off float64) string {
	word := "high"
	if off < 0 {
		word = "low"
	}
	return fmt.Sprintf("%.0f %% too %s", 100*math.Abs(off), word)
}
