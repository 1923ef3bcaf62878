package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/terminal"
)

// jobCommand looks at jobs of a coordinator and acts on them. What the API calls a video is a job
// here. All of its commands ask a coordinator and leave the job as it is, but for cancel, retry and
// delete.
func jobCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "job", Short: "Look at jobs and act on them"}
	return group(cmd, jobList(), jobStatus(), jobLogs(), jobFetch(),
		jobAction("cancel", "Stop a job, even in the middle of a step", (*client.Client).Cancel),
		jobAction("retry", "Queue the same clip again", (*client.Client).Retry),
		jobDelete())
}

// jobList shows a page of jobs. Where there are more, it says how to ask for them, on stderr. Pages
// go by the id of the last job seen and not by a number, so that jobs that are created meanwhile
// shift nothing.
func jobList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List jobs, the newest first", Args: daemon.NoArgs}
	limit := cmd.Flags().Int("limit", 20, "how many, up to 100")
	after := cmd.Flags().String("after", "", "list the jobs that follow the one with this id")
	owner := cmd.Flags().String("owner", "", "list the jobs of an owner alone: the id of a key, for "+
		"keys of scope admin")
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		// 100 is the most that the API gives in a page.
		if *limit < 1 || *limit > 100 {
			return daemon.Usagef("--limit is %d; allowed: 1 to 100", *limit)
		}
		c, err := dial(cmd)
		if err != nil {
			return err
		}

		l, err := c.List(cmd.Context(), job.ID(*after), *limit, *owner)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if *js {
			return terminal.Lines(out, l.Data)
		}

		// Where nothing has a price there is no column of costs.
		head := "ID\tSTATE\tSIZE\tFRAMES\tCREATED\tPROMPT"
		priced := slices.ContainsFunc(l.Data, func(v schema.Video) bool { return v.Details.Cost != nil })
		if priced {
			head = "ID\tSTATE\tSIZE\tFRAMES\tCOST\tCREATED\tPROMPT"
		}
		err = terminal.Table(out, head, func(w io.Writer) {
			for _, v := range l.Data {
				terminal.Printf(w, "%s\t%s\t%s\t%d\t", v.ID, stateText(v), v.Size, v.Details.Spec.Frames)
				if priced {
					terminal.Printf(w, "%s\t", costCell(v))
				}
				terminal.Printf(w, "%s\t%s\n", v.Details.Created.Local().Format(time.DateTime),
					short(v.Prompt))
			}
		})

		// With --json there is no such line: who wants more asks after the last id.
		if l.HasMore {
			terminal.Printf(cmd.ErrOrStderr(), "more: longtake job list --after %s\n", l.LastID)
		}
		return err
	}
	return cmd
}

// jobStatus shows one job, or with -w follows it to its end and shows it then. A job that failed is
// shown like any other, with exit code 0: the command did what it was asked to. Interrupting -w
// leaves the job alone.
func jobStatus() *cobra.Command {
	cmd := &cobra.Command{Use: "status ID", Short: "Show a job", Args: oneJob}
	js := asJSON(cmd)
	watch := cmd.Flags().BoolP("watch", "w", false, "follow the job to its end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}

		id := jobID(args)
		var v schema.Video
		if *watch {
			// Progress goes to stderr, and with --json to stdout, before the video's own line.
			rep := newReporter(*js, cmd.OutOrStdout(), cmd.ErrOrStderr())
			v, err = c.Watch(cmd.Context(), id, following(rep))
			rep.end()
		} else {
			v, err = c.Get(cmd.Context(), id)
		}
		if err != nil {
			return err
		}
		return printVideo(cmd.OutOrStdout(), v, *js)
	}
	return cmd
}

// printVideo prints what there is to know about a job, a line each: what it is to be, how far it
// is, what happens next, and what somebody can do. Lines that would say nothing are left out.
func printVideo(w io.Writer, v schema.Video, js bool) error {
	if js {
		return terminal.JSON(w, v)
	}
	d, s := v.Details, v.Details.Spec
	line := func(key, format string, args ...any) {
		terminal.Printf(w, "%-10s %s\n", key, fmt.Sprintf(format, args...))
	}
	line("id", "%s", v.ID)
	line("state", "%s", stateText(v))
	if t := since(v); !t.IsZero() {
		line("since", "%s, for %s", t.Local().Format(time.DateTime), longSpan(time.Since(t)))
	}

	// What an operator looks for comes first: what is wrong, what happens by itself, and what to do.
	if v.Error != nil {
		line("error", "%s", v.Error.Message)
	}
	if text := outlook(v); text != "" {
		line("next", "%s", text)
	}
	if text := remedy(v); text != "" {
		line("to do", "%s", text)
	}

	// What the clip is to show, and how it is made.
	if len(s.Scenes) == 0 {
		line("prompt", "%q", s.Prompt)
	}
	for _, c := range s.Scenes {
		line("scene", "from %g s: %q", c.Start, c.Prompt)
	}
	line("clip", "%s, %s at %v fps, %s", v.Size, count(s.Frames, "frame"), s.FPS, s.Format)
	for _, n := range d.Notices {
		line("notice", "%s", n)
	}
	line("sampling", "%s, %s, guidance %g, shift %g, seed %d, in %s", s.Scheduler,
		count(s.Steps, "step"), s.GuidanceScale, s.FlowShift, s.Seed, s.DType)
	if d.Mesh != "" {
		line("placement", "%s", attemptText(d.Attempt, cmp.Or(d.Where, fmt.Sprint(d.Nodes))))
	}
	if d.Predicted != "" {
		line("predicted", "%s", d.Predicted)
	}

	if d.Owner != "" {
		line("owner", "%s", d.Owner)
	}
	printWork(line, v)
	printCost(line, d)
	line("created", "%s", d.Created.Local().Format(time.DateTime))
	if !d.Finished.IsZero() {
		line("finished", "%s", d.Finished.Local().Format(time.DateTime))
	}

	// The sum of the latents tells whether two clips are the same, on any number of shards.
	if r := d.Result; r != nil {
		line("result", "%s, %s a step, %s exchanged", size(uint64(r.Video.Size)), //nolint:gosec // >= 0
			span(r.StepSeconds), size(r.BytesExchanged))
		line("latents", "%s", r.LatentsSHA256)
	}
	printRanks(line, d)
	return nil
}

// printWork tells what there is of a job's clip, and what attempts were lost on the way to it. line
// is printVideo's own. Lines on a finished job come first, then those on one under way.
func printWork(line func(key, format string, args ...any), v schema.Video) {
	d := v.Details
	if d.Result != nil && d.Result.WindowsReused > 0 {
		line("taken over", "%s of the step in which the attempt before was lost",
			count(d.Result.WindowsReused, "window"))
	}
	if d.Result != nil && d.Result.FramesReused > 0 {
		line("taken over", "%s that an attempt before had decoded",
			count(d.Result.FramesReused, "frame"))
	}

	// What is durable, and what can be looked at before the clip is done.
	if d.Checkpoint > 0 {
		line("checkpoint", "step %d of %d, %s, stored in %s", d.Checkpoint, d.Spec.TotalSteps(),
			size(uint64(d.CheckpointBytes)), span(d.CheckpointTime)) //nolint:gosec // from 0
	}
	// Both previews and partial clips may be fetched while the job runs.
	if d.PreviewStep > 0 {
		line("preview", "of step %d: longtake job fetch %s --preview", d.PreviewStep, v.ID)
	}
	if d.ReadySeconds > 0 {
		line("ready", "%s: longtake job fetch %s --partial", count(d.ReadySeconds, "second"), v.ID)
	}
	if p := d.Parts; p != nil {
		n := uint64(p.Bytes) //nolint:gosec // >= 0
		line("parts", "%s durable, %s", count(p.Count, "part"), size(n))
	}
	if d.Decision != "" {
		line("decision", "%s", d.Decision)
	}

	// The oldest first; `job logs` has the same in the order of all events.
	for _, l := range d.Losses {
		line(lossWord(l), "attempt %d at %s: %s; %s", l.Attempt, l.Time.Local().Format(time.TimeOnly),
			l.Reason, aftermath(l))
	}
}

// lossWord tells attempts that were asked to stop from those that were lost. A planned stop, as for
// a drain, happens at the end of a step and loses no work.
func lossWord(l job.Loss) string {
	if l.Planned {
		return "stopped"
	}
	return "lost"
}

// aftermath tells what the early end of an attempt cost: the steps to compute again, and the time
// until the job was past the step that it resumed at; before then that time is left out.
func aftermath(l job.Loss) string {
	text := fmt.Sprintf("resumes at step %d, %s to redo", l.Step, count(l.Redone, "step"))
	if l.Detection > 0 {
		text += fmt.Sprintf(", noticed after %s", span(l.Detection.Seconds()))
	}
	if !l.Recovered.IsZero() {
		text += fmt.Sprintf(", new progress after %s", span(l.Recovered.Sub(l.Time).Seconds()))
	}
	return text
}

// jobAction is a command that does one thing to one job and shows the job as it is then. The answer
// does not wait for the shards: a running job that is cancelled is shown as cancelling. A state
// that forbids it is an error with the coordinator's words.
func jobAction(name, short string,
	do func(*client.Client, context.Context, job.ID) (schema.Video, error)) *cobra.Command {
	cmd := &cobra.Command{Use: name + " ID", Short: short, Args: oneJob}
	js := asJSON(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}
		v, err := do(c, cmd.Context(), jobID(args))
		if err != nil {
			return err
		}
		return printVideo(cmd.OutOrStdout(), v, *js)
	}
	return cmd
}

// jobDelete forgets a job and all that is stored of it. One that runs is cancelled first. Nothing
// is printed, as nothing is left to show.
func jobDelete() *cobra.Command {
	return &cobra.Command{Use: "delete ID",
		Short: "Cancel a job if it runs, then forget it and its clip",
		Args:  oneJob, RunE: func(cmd *cobra.Command, args []string) error {
			c, err := dial(cmd)
			if err != nil {
				return err
			}
			return c.Delete(cmd.Context(), jobID(args))
		}}
}

// jobFetch downloads a clip, or what there is of one that is still being made. The path written
// goes to stdout, for scripts. A job that is not completed is an error, with its state.
func jobFetch() *cobra.Command {
	cmd := &cobra.Command{Use: "fetch ID", Short: "Download the clip of a completed job",
		Args: oneJob}
	path := cmd.Flags().StringP("output", "o", "", "file, or folder for a job of PNG frames "+
		"(default: ID.webm, ID.mp4 or ID/)")
	latents := cmd.Flags().String("save-latents", "", "also download the latents")
	partial := cmd.Flags().Bool("partial", false, "while the job is decoded: the seconds "+
		"that are done")
	preview := cmd.Flags().Bool("preview", false, "a rough animation of what the clip is going to "+
		"be, or of a finished one its frames (default: ID.webp)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}

		// A look at what there is so far, from one file that the coordinator makes.
		if *preview || *partial {
			if *preview && *partial || *latents != "" {
				return daemon.Usagef("--preview, --partial and --save-latents do not go together; allowed: one")
			}
			// A partial clip is WebM, whatever the job makes; a preview is an animated WebP.
			early := early{"partial", ".webm"}
			if *preview {
				early.variant, early.ext = "preview", ".webp"
			}
			*path = cmp.Or(*path, args[0]+early.ext)
			if err := early.fetch(cmd.Context(), c, jobID(args), *path); err != nil {
				return err
			}
			terminal.Printf(cmd.OutOrStdout(), "%s\n", *path)
			return nil
		}

		// The format of the job decides what -o may be, so the job is asked for before any path is looked
		// at.
		v, err := c.Get(cmd.Context(), jobID(args))
		if err != nil {
			return err
		}

		o, err := fetchOutput(jobID(args), v, *path, *latents)
		if err != nil {
			return err
		}
		if err := o.fetch(cmd.Context(), c, v); err != nil {
			return err
		}
		terminal.Printf(cmd.OutOrStdout(), "%s\n", o.Path)
		return nil
	}
	return cmd
}

// early is what a running job has to show: a variant of its content, and the extension of its file.
// variant is the API's word, and the flag's name as well.
type early struct{ variant, ext string }

// fetch writes what there is so far. There is no sum to check it by, as the coordinator makes it
// for the request; it still appears whole or not at all.
func (e early) fetch(ctx context.Context, c *client.Client, id job.ID, path string) error {
	// The extension has to be right, since players and browsers go by it.
	if filepath.Ext(path) != e.ext {
		return daemon.Usagef("-o is %q; allowed with --%s: a %s file", path, e.variant, e.ext)
	}
	if err := checkFile(path); err != nil {
		return err
	}

	r, err := c.Content(ctx, id, e.variant)
	if err != nil {
		return err
	}
	defer r.Close()

	// The request comes first: a job with nothing to show yet leaves no file.
	f, err := os.CreateTemp(filepath.Dir(path), ".longtake-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails after a rename
	defer f.Close()

	if _, err = io.Copy(f, r); err == nil {
		err = rename(f, path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// fetchOutput checks that a path suits the format in which the job was made. Without a path the
// file is called as the job that was asked for; the id in the answer is the server's word, and is
// not taken for the name of a file.
func fetchOutput(asked job.ID, v schema.Video, path, latents string) (output, error) {
	format := media.Format(v.Details.Spec.Format)
	if !slices.Contains(media.Formats(), format) {
		return output{}, fmt.Errorf("job %s was made as %q, which this version does not know", asked,
			format)
	}

	if path == "" {
		path = string(asked)
		if format != media.PNG {
			path += format.Extension()
		}
	}
	// A path of another kind would get a file that lies about what it holds.
	o, err := checkOutput(path, latents)
	if err == nil && o.Format != format {
		err = daemon.Usagef("-o is %q, but the job made %s; allowed: a matching path", path, format)
	}
	return o, err
}
