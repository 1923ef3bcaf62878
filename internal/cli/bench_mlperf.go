package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/bench/mlperf"
	"github.com/longtake/longtake/internal/bench/prompts"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/userfile"
)

const benchMLPerfHelp = `Run the text-to-video task of MLPerf Inference by its rules, with the
genuine LoadGen, and write what its submission checker reads. LoadGen is a Python package:

  python3 -m pip install mlcommons-loadgen numpy
  tools/prompts.py mlperf     # fetches the prompts
  longtake bench mlperf --model Wan2.2-T2V-A14B-Diffusers --prompts mlperf.txt \
    --latent fixed_latent.pt

Without --coordinator the clips are made in this process. All scenarios and tests take
hours with a model of 14B; --count and --min-duration make a trial of it, and so do other
values of the clip. What of a run is not as the rules want it is printed: it is NOT a valid
submission then. docs/mlperf.md has more.`

// mlperfBench is one `bench mlperf`.
type mlperfBench struct {
	task      mlperf.Task
	to        mlperf.Submission
	loadgen   mlperf.LoadGen
	scenarios []mlperf.Scenario
	modes     []mlperf.Mode
	system    map[string]any // what people say of the machines

	// latent is what all clips begin with, one file or none. Few requests send it at a time.
	latent  clipInputs
	sending chan struct{}

	values         *config.Values
	local          local.Config // of a cluster of this process
	stdout, stderr io.Writer
}

// benchMLPerfCommand runs MLPerf's task. A result a row goes to stdout.
func benchMLPerfCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "mlperf", Short: "Run MLPerf's text-to-video task with its LoadGen",
		Long: benchMLPerfHelp, Args: daemon.NoArgs}
	f := cmd.Flags()
	f.StringP("output", "o", "mlperf", "folder to write")
	f.StringSlice("scenario", []string{"SingleStream", "Offline"}, "SingleStream, Offline")
	f.StringSlice("test", []string{"performance", "accuracy", "TEST04"},
		"performance, accuracy, TEST04 (compliance)")
	f.String("prompts", prompts.Builtin, "file of prompts, one in a line, or builtin")
	f.String("latent", "", "the task's fixed_latent.pt, with which all clips begin")

	// What makes a trial of it.
	f.Int("count", 0, "least clips of a test, instead of 64 (SingleStream), 248 (Offline, accuracy) "+
		"and 20 (TEST04 of Offline)")
	f.Duration("min-duration", mlperf.MinDuration, "least time of a performance test")
	f.Float64("target-qps", 0, "clips a second that Offline is expected to make (default: LoadGen's)")
	f.Int("at-once", 64, "clips of Offline that the cluster has at once")

	// Who and what is measured, for the submission.
	f.String("python", "python3", "interpreter that has LoadGen")
	f.String("division", "open", "open or closed")
	f.String("submitter", "longtake", "name of who submits")
	f.String("system", "system", "name of what is measured")
	f.String("system-file", "", "JSON file that describes the machines, by the checker's names")
	js := asJSON(cmd)

	config.Local().Define(f)
	clip := &job.Request{}
	defineFields(f, clip, func(field job.Field) bool { return field.Name != "prompt" })
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := readMLPerf(cmd, *clip)
		if err != nil {
			return inFlags(err)
		}
		defer b.latent.close()
		results, err := b.run(cmd.Context())
		if len(results) == 0 {
			return inFlags(err) // a test that has ended leaves a result, so there is an error
		}
		return errors.Join(inFlags(err), printMLPerf(b.stdout, results, *js))
	}
	return cmd
}

// A run by the rules takes hours, and an hour of eight GPUs has a price. So all that can be wrong
// is found out before it begins: flags and files here, the interpreter and LoadGen with the first
// test, the clip with the first that is made. Nothing is asked of LoadGen that it would learn too
// late.

// readMLPerf reads the flags, and the files that they name.
func readMLPerf(cmd *cobra.Command, clip job.Request) (b *mlperfBench, err error) {
	f := cmd.Flags()
	text := func(name string) string { return f.Lookup(name).Value.String() }
	list := func(name string) []string { v, _ := f.GetStringSlice(name); return v }
	b = &mlperfBench{stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
	b.task.Clip = clip
	b.task.Count, _ = f.GetInt("count")
	b.task.MinDuration, _ = f.GetDuration("min-duration")
	b.task.TargetQPS, _ = f.GetFloat64("target-qps")
	b.loadgen = mlperf.LoadGen{Python: text("python"), Log: b.stderr}
	b.loadgen.AtOnce, _ = f.GetInt("at-once")
	if err := checkMLPerf(b.task, b.loadgen.AtOnce); err != nil {
		return nil, err
	}

	// Names, and files.
	b.to = mlperf.Submission{Root: text("output"), Division: text("division"),
		Submitter: text("submitter"), System: text("system")}
	if err := b.to.CheckNames(); err != nil {
		return nil, daemon.Usage(err)
	}
	if b.scenarios, err = mlperf.ParseScenarios(list("scenario")); err != nil {
		return nil, daemon.Usage(err)
	}
	if b.modes, err = mlperf.ParseModes(list("test")); err != nil {
		return nil, daemon.Usage(err)
	}
	if b.task.Prompts, err = prompts.Open(text("prompts")); err != nil {
		return nil, daemon.Usagef("--prompts: %w", err)
	}
	if b.system, err = readSystem(text("system-file")); err != nil {
		return nil, daemon.Usagef("--system-file: %w", err)
	}
	if err := b.readLatent(cmd.Context(), text("latent")); err != nil {
		return nil, err
	}
	return b, b.readCluster(cmd)
}

// readCluster reads the settings of the cluster.
func (b *mlperfBench) readCluster(cmd *cobra.Command) (err error) {
	if b.values, err = load(cmd, config.Local()); err != nil {
		return err
	}
	b.task.Clip.Format = string(media.MP4)
	if b.values.String("coordinator") != "" {
		// Its shards may have forget-texts; no request tells.
		b.task.KeepsTexts = true
		g := generation{values: b.values, request: b.task.Clip}
		err = g.checkRemote()
		b.task.Clip = g.request
		return err
	}

	// From here on the clips are made in this process. VBench reads MP4, but a trial without ffmpeg
	// is still a trial.
	if media.MP4.Available() != nil {
		b.task.Clip.Format = string(media.WebM)
	}
	log, err := daemon.Logger(b.values, b.stderr)
	if err != nil {
		return err
	}
	b.local, err = local.Read(b.values, b.task.Clip.Mesh.Size(), log)
	b.local.DType = b.task.Clip.DType
	// The rules forbid caches from query to query, of intermediate results too.
	b.local.ForgetTexts = true
	return err
}

// checkMLPerf wants numbers within bounds. A count above that of the rules lowers nothing, and is
// no mistake.
func checkMLPerf(t mlperf.Task, atOnce int) error {
	switch {
	case t.Count < 0 || t.Count > prompts.ListMax:
		return daemon.Usagef("--count is %d; allowed: 0 (as the rules say) to %d", t.Count,
			prompts.ListMax)
	case t.MinDuration < 0 || t.MinDuration > 7*24*time.Hour:
		return daemon.Usagef("--min-duration is %v; allowed: 0s to 168h", t.MinDuration)
	case !(t.TargetQPS >= 0 && t.TargetQPS <= 1e6):
		return daemon.Usagef("--target-qps is %v; allowed: 0 (LoadGen's) to 1e6", t.TargetQPS)
	case atOnce < 1 || atOnce > 4096:
		return daemon.Usagef("--at-once is %d; allowed: 1 to 4096", atOnce)
	}
	return nil
}

// readSystem reads the description of a system; "" is none.
func readSystem(path string) (out map[string]any, err error) {
	if path == "" {
		return nil, nil
	}
	b, err := userfile.Read(path, 1<<20)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	return out, err
}

// run runs all tests on the cluster of the coordinator, or on one of this process.
func (b *mlperfBench) run(ctx context.Context) (results []mlperf.Result, err error) {
	url, connect := b.values.String("coordinator"), clientOf
	if url == "" {
		cluster, err := local.Start(ctx, b.local)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		url, connect = cluster.URL, ownClient
	}

	// The clips go through the HTTP API in any case, so that both ways measure the same.
	c, err := connect(b.values, url)
	if err != nil {
		return nil, err
	}

	if b.to.Model, err = servedModel(ctx, c, b.task.Clip.Model); err != nil {
		return nil, err
	}
	// What the rules say is filled in for the model that was found, and judged before a clip is made.
	b.task.Clip.Model = b.to.Model.Name
	if b.task.Clip, err = mlperf.Fill(b.task.Clip, b.to.Model); err != nil {
		return nil, err
	}
	if err := b.checkLatent(ctx); err != nil {
		return nil, err
	}
	if err := b.prepare(); err != nil {
		return nil, err
	}

	// Results of tests that have ended are printed also after an error in a later one.
	for _, s := range b.scenarios {
		for _, m := range b.modes {
			r, err := b.test(ctx, c, s, m)
			if err != nil {
				return results, fmt.Errorf("%s, %s: %w", s, m, err)
			}
			results = append(results, r)
		}
	}
	return results, nil
}

// servedModel returns a model of the cluster by its name, "" for the default. What the rules say of
// the model is judged by what its shards say of it, not by its name.
func servedModel(ctx context.Context, c *client.Client, name string) (job.Model, error) {
	// Aliases are not looked up: a result names the model that it is of.
	all, err := c.Models(ctx)
	if err != nil {
		return job.Model{}, err
	}
	i := slices.IndexFunc(all, func(m schema.Model) bool {
		return m.ID == name || name == "" && m.Details.Default
	})
	if i < 0 {
		return job.Model{}, daemon.Usagef("--model is %.128q; allowed: one that the cluster serves", name)
	}
	return all[i].Details.Model, nil
}

// prepare writes what the folder has besides logs, and says what is not as the rules want it.
func (b *mlperfBench) prepare() error {
	why := b.task.Invalid(b.to.Model)
	if b.task.Clip.Format != string(media.MP4) {
		why = append(why, "clips are "+b.task.Clip.Format+", as there is no ffmpeg; VBench reads mp4")
	}
	// On stderr, where the results of --json do not get in their way.
	for _, line := range why {
		terminal.Printf(b.stderr, "NOT a valid submission: %s\n", line)
	}

	empty, err := b.to.Write(b.scenarios, b.task, b.system)
	if len(empty) > 0 {
		terminal.Printf(b.stderr, "NOT a valid submission: %s lacks %s; --system-file has them\n",
			filepath.Join("systems", b.to.System+".json"), strings.Join(empty, ", "))
	}
	return err
}

// test runs one test. The logs of one that was run before are replaced.
func (b *mlperfBench) test(ctx context.Context, c *client.Client, s mlperf.Scenario,
	m mlperf.Mode) (r mlperf.Result, err error) {
	t := mlperf.Test{Task: b.task, Scenario: s, Mode: m, Dir: b.to.Logs(s, m),
		UserConf: filepath.Join(b.to.Scenario(s), "user.conf")}
	if err := os.RemoveAll(t.Dir); err != nil {
		return r, err
	}
	videos := filepath.Join(b.to.Root, "videos", string(s))
	for _, dir := range []string{t.Dir, videos} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return r, err
		}
	}

	// The folder is told before the first clip, so that one can watch LoadGen's log grow.
	terminal.Printf(b.stderr, "%s, %s: the logs go to %s\n", s, m, t.Dir)
	make := func(ctx context.Context, i int) ([]byte, error) {
		return b.clip(ctx, c, t, i, videos)
	}
	if err := b.loadgen.Run(ctx, t, make); err != nil {
		return r, err
	}
	// LoadGen leaves a trace, which is empty here and no part of a submission.
	os.Remove(filepath.Join(t.Dir, "mlperf_log_trace.json"))

	if m == mlperf.Accuracy {
		if err := b.task.KeepShown(videos, t.Dir); err != nil {
			return r, err
		}
	}
	return mlperf.ReadResult(t)
}

// clip makes the clip of a prompt, and returns the SHA-256 of its file. An accuracy test also keeps
// the file, as VBench judges it.
func (b *mlperfBench) clip(ctx context.Context, c *client.Client, t mlperf.Test, i int,
	videos string) ([]byte, error) {
	// The clip is complete for LoadGen when the coordinator says that it is stored. The download is
	// not measured, but an accuracy test has no times.
	r := b.task.Clip
	r.Prompt = b.task.Prompts.Prompts[i].Text
	v, err := makeVideo(ctx, c, func(ctx context.Context, c *client.Client) (schema.Video, error) {
		return b.queue(ctx, c, r)
	}, &lines{w: io.Discard})
	if err != nil {
		return nil, err
	}
	if v.Details.Result == nil {
		return nil, fmt.Errorf("job %s has no result", v.ID)
	}

	// The coordinator has the sum from the shard that encoded the clip, and a download compares it.
	want := v.Details.Result.Video
	if t.Mode == mlperf.Accuracy {
		path, err := b.task.Video(videos, i)
		if err != nil {
			return nil, err
		}
		if err := download(ctx, c, v.ID, "video", want, path, rename); err != nil {
			return nil, err
		}
	}
	return hex.DecodeString(want.SHA256)
}

// printMLPerf prints a row for each test that has ended.
func printMLPerf(w io.Writer, results []mlperf.Result, js bool) error {
	if js {
		return terminal.JSON(w, results)
	}

	// An accuracy test has no figure yet: VBench looks at its videos.
	for _, r := range results {
		value := "-"
		switch {
		case r.PerSecond > 0:
			value = fmt.Sprintf("%.4g clips/s", r.PerSecond)
		case r.Seconds > 0:
			value = fmt.Sprintf("p90 %.4g s", r.Seconds)
		}

		judged := map[bool]string{true: "VALID", false: "INVALID"}[r.Valid]
		if r.Mode == mlperf.Accuracy {
			judged = "to be judged by VBench"
		}
		if r.Errors > 0 {
			judged += fmt.Sprintf(", %d errors", r.Errors)
		}
		terminal.Printf(w, "%-13s %-12s %-16s LoadGen: %s\n", r.Scenario, r.Mode, value, judged)
	}
	return nil
}
