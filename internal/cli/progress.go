package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/terminal"
)

// reporter shows how a job is going. Its methods are called by one goroutine, in the order of
// events. None of them returns an error: a terminal or pipe that is gone must not end a job.
type reporter interface {
	// update shows where the job stands; most calls change only a number.
	update(v schema.Video)
	// lost tells of an attempt that ended early, once for each.
	lost(v schema.Video, l job.Loss) // an attempt; it was not told of before
	// end clears what is only of interest while the job runs, such as a bar.
	end()
}

// following returns what to call with every change of a job: it tells rep of each lost attempt
// once, and of the job. A coordinator sends the whole list of losses with every change. The
// returned function remembers the last attempt that it has told of, so each job needs its own.
func following(rep reporter) func(v schema.Video) {
	var told job.Attempt
	return func(v schema.Video) {
		for _, l := range v.Details.Losses {
			if l.Attempt > told {
				rep.lost(v, l)
				told = l.Attempt
			}
		}
		rep.update(v)
	}
}

// lossText is one line about a lost attempt. The step is that of the latest checkpoint, from which
// the next attempt starts.
func lossText(l job.Loss) string {
	verb := "was lost"
	if l.Planned {
		verb = "stopped"
	}
	return fmt.Sprintf("attempt %d %s (%s); resuming at step %d", l.Attempt, verb, l.Reason, l.Step)
}

// newReporter picks how progress is shown: JSON on out for scripts, or on w a bar if that is a
// terminal, else a line for each stage.
func newReporter(js bool, out, w io.Writer) reporter {
	if js {
		return &jsonReporter{w: out}
	}
	// A bar in a log file would be a line of control characters for every step.
	if isTerminal(w) {
		return &bar{w: w}
	}
	return &lines{w: w}
}

// isTerminal reports whether somebody watches what is written, rather than a file or a pipe.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// stateText says in a word or two where a job stands, for lists and for progress. Steps and frames
// count those that are done, so a stage begins at 0.
func stateText(v schema.Video) string {
	d := v.Details
	switch {
	case d.State == job.Queued && d.Waiting != "":
		return "queued: " + d.Waiting
	case d.State == job.Queued && d.Ahead > 0:
		return fmt.Sprintf("queued behind %d", d.Ahead)
	case d.State != job.Running:
		return string(d.State)
	case d.Stage == "":
		return "starting"
	case d.Total == 0:
		return string(d.Stage)
	}

	if d.Part > 0 { // of a step that takes long
		return fmt.Sprintf("%s %d/%d and %.0f%% of the next", d.Stage, d.Done, d.Total, 100*d.Part)
	}
	return fmt.Sprintf("%s %d/%d", d.Stage, d.Done, d.Total)
}

// bar is a progress bar on a terminal, one for each stage: their steps and frames do not compare.
// stage is that of the bar on the screen: the state and the stage of the job, as a job that waits
// again has a new bar.
type bar struct {
	w     io.Writer
	stage string
	bar   *progressbar.ProgressBar
}

// update draws the bar, or a new one when a stage begins.
func (b *bar) update(v schema.Video) {
	d := v.Details
	if v.Final() { // what comes next says so
		b.end()
		return
	}

	stage := string(d.State) + string(d.Stage)
	if stage != b.stage {
		b.end()
		b.stage = stage
		b.bar = progressbar.NewOptions(max(d.Total, 1), progressbar.OptionSetWriter(b.w),
			progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
	}

	text := stateText(v)
	if d.ETA > 0 {
		text += fmt.Sprintf(", %s left", time.Duration(d.ETA*float64(time.Second)).Round(time.Second))
	}
	_ = b.bar.Set(d.Done)                 // a terminal that is gone needs no error
	b.bar.Describe(terminal.Escape(text)) // draws, so it comes last
}

// lost prints a line above where the next bar will be.
func (b *bar) lost(_ schema.Video, l job.Loss) {
	b.end()
	b.stage = ""
	terminal.Printf(b.w, "%s\n", lossText(l))
}

// end clears the bar, if one is drawn, so that what is printed next begins on an empty line.
func (b *bar) end() {
	if b.bar != nil {
		_ = b.bar.Clear()
		b.bar = nil
	}
}

// lines prints a line when a stage begins, for logs and pipes.
type lines struct {
	w    io.Writer
	last string
	left bool // how long the stage takes was told
}

// tellLeft is the shortest time left that is worth a line, in seconds. A shorter stage is over
// before anybody has read the line.
const tellLeft = 60

// update prints the stage when it changes; a queued job's line has its reason to wait.
func (l *lines) update(v schema.Video) {
	// Of a running job the numbers are left out: a line a step would fill a log.
	text := stateText(v)
	if v.Details.State == job.Running {
		text = string(v.Details.Stage)
	}
	if text != l.last && text != "" {
		terminal.Printf(l.w, "%s\n", text)
		l.left = false
	}
	l.last = text

	// A stage of minutes says so once; its end is news enough.
	if eta := v.Details.ETA; eta >= tellLeft && !l.left {
		terminal.Printf(l.w, "%s: about %s left\n", text,
			longSpan(time.Duration(eta*float64(time.Second))))
		l.left = true
	}
}

func (l *lines) lost(_ schema.Video, loss job.Loss) { terminal.Printf(l.w, "%s\n", lossText(loss)) }

// end has nothing to clear.
func (l *lines) end() {}

// jsonReporter prints an object for each change. Each line stands alone, so that a script may read
// them as they come; the command's result is the last one.
type jsonReporter struct{ w io.Writer }

// progressLine is what --json prints while a job runs.
type progressLine struct {
	// Event is "progress".
	Event string    `json:"event"`
	ID    job.ID    `json:"id"`
	State job.State `json:"state"`

	// Where a running job stands: steps or frames done, of how many in the stage; the share of the
	// next one that is done; and the seconds that are left of the stage, 0 while nobody knows.
	Stage job.Stage `json:"stage,omitempty"`
	Done  int       `json:"done"`
	Total int       `json:"total"`
	Part  float64   `json:"part,omitempty"`
	ETA   float64   `json:"eta_seconds"`

	// Waiting is why a queued job does not run yet.
	Waiting string `json:"waiting,omitempty"`
}

// update prints every change, also those of a number alone.
func (j *jsonReporter) update(v schema.Video) {
	d := v.Details
	_ = terminal.JSON(j.w, progressLine{Event: "progress", ID: v.ID, State: d.State, Stage: d.Stage,
		Done: d.Done, Total: d.Total, Part: d.Part, ETA: d.ETA, Waiting: d.Waiting})
}

// lossLine is what --json prints when an attempt was lost. The loss's own fields are in the same
// object as event and id.
type lossLine struct {
	Event string `json:"event"` // "lost"
	ID    job.ID `json:"id"`
	job.Loss
}

// lost prints an attempt's loss as the API has it.
func (j *jsonReporter) lost(v schema.Video, l job.Loss) {
	_ = terminal.JSON(j.w, lossLine{Event: "lost", ID: v.ID, Loss: l})
}

// end has nothing to clear.
func (j *jsonReporter) end() {}
