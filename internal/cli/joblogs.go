package cli

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/terminal"
)

// jobEvent is something that happened to a job, as --json prints it: when, one word, and the rest.
// Event is one of created, started, lost, stopped, recovered, a final state, and "to do"; scripts
// may rely on those.
type jobEvent struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	Text  string    `json:"text"`
}

// The past of a job is stored with it; a log file is the diary of one process.
const logsHelp = `Show what happened to a job, in order: when it was created and placed, on which
shards, which attempts ended early and why, when the clip was further than before the
loss, how it ended, and what can be done. All of it is in the coordinators' log, so it is
there whatever died. "job status -w" follows a job.`

// jobLogs shows a job's past. It comes from the job's record alone, which every coordinator has.
func jobLogs() *cobra.Command {
	cmd := &cobra.Command{Use: "logs ID", Short: "Show what happened to a job, in order",
		Long: logsHelp, Args: oneJob}
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}

		// Any coordinator can answer, also one that was not there when it happened.
		v, err := c.Get(cmd.Context(), jobID(args))
		if err != nil {
			return err
		}
		return printEvents(cmd.OutOrStdout(), jobEvents(v), *js)
	}
	return cmd
}

// printEvents prints a line for each event, in local time, or an object each with --json. A long
// line is not broken, so that grep finds all of an event.
func printEvents(w io.Writer, events []jobEvent, js bool) error {
	if js {
		return terminal.Lines(w, events)
	}
	for _, e := range events {
		terminal.Printf(w, "%s  %-9s %s\n", e.Time.Local().Format(time.DateTime), e.Event, e.Text)
	}
	return nil
}

// jobEvents lists what is known of the job's past, the oldest first: its creation, the start and
// end of each attempt that is remembered, and its own end. A job remembers a bounded number of
// losses, so the oldest of very many may be missing.
func jobEvents(v schema.Video) []jobEvent {
	d := v.Details
	events := []jobEvent{{d.Created, "created", fmt.Sprintf("%s of %s", count(d.Spec.Frames, "frame"),
		v.Size)}}

	// The latest attempt has an event of its own, unless it was lost: then the loss knows when it
	// began.
	if n := len(d.Losses); !d.Placed.IsZero() && (n == 0 || d.Losses[n-1].Attempt < d.Attempt) {
		events = append(events, jobEvent{d.Placed, "started", attemptText(d.Attempt, d.Where)})
	}

	// Not every loss knows when its attempt began; then only the end is told.
	for _, l := range d.Losses {
		if !l.Began.IsZero() {
			events = append(events, jobEvent{l.Began, "started", attemptText(l.Attempt, l.Where)})
		}
		text := fmt.Sprintf("attempt %d: %s; %s", l.Attempt, l.Reason, aftermath(l))
		events = append(events, jobEvent{l.Time, lossWord(l), text})
		if !l.Recovered.IsZero() {
			events = append(events, jobEvent{l.Recovered, "recovered",
				fmt.Sprintf("first progress since attempt %d was %s", l.Attempt, lossWord(l))})
		}
	}

	// A failure ends with what can be done, as that is why people read the log.
	if d.State.Final() {
		events = append(events, jobEvent{d.Finished, string(d.State), ending(v)})
		if d.State == job.Failed {
			events = append(events, jobEvent{d.Finished, "to do", remedy(v)})
		}
	}
	// The end comes last also where its time is that of another event.
	slices.SortStableFunc(events, func(a, b jobEvent) int { return a.Time.Compare(b.Time) })
	return events
}

// attemptText names an attempt and the nodes and mesh it runs on, as far as those are known.
func attemptText(a job.Attempt, where string) string {
	if where == "" {
		return fmt.Sprintf("attempt %d", a)
	}
	return fmt.Sprintf("attempt %d on %s", a, where)
}

// ending says how a job ended: the size of its clip, or why there is none.
func ending(v schema.Video) string {
	if r := v.Details.Result; r != nil {
		return fmt.Sprintf("%s in attempt %d", size(uint64(r.Video.Size)), //nolint:gosec // >= 0
			v.Details.Attempt)
	}
	if v.Error != nil {
		return v.Error.Message
	}
	return ""
}
