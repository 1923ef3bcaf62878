package cli

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/longtake/longtake/internal/bench/prompts"
	"github.com/longtake/longtake/internal/bench/serve"
	"github.com/longtake/longtake/internal/bench/target"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/local"
)

const benchServeHelp = `Measure a server that makes videos under load: this cluster, one that is
started in this process, or any server that speaks a dialect of /v1/videos.

  longtake bench serve                                    # a cluster of this process, 20 clips
  longtake bench serve --coordinator URL --scenario server --objective 60s   # how many can it take?
  longtake bench serve --url http://vllm:8000 --scenario offline --count 100 --content
  longtake bench serve --scenario server --rate 10/h,20/h,30/h --count 100
  longtake bench serve --scenario mixed --trace day.jsonl
  longtake bench serve --scenario soak --rate 20/h --duration 8h
  longtake bench serve --count 40 --faults kill=3         # what does it cost when shards die?
  longtake bench serve --url http://a:8000 --versus http://b:8000 --count 100 -o out
  longtake bench compare out/a out/b --gate 5%    # is b slower than a?

Scenarios:
  single-stream  one clip after the other: the latency of a server that has nothing else to do
  offline        all clips at once: the most that it makes in an hour
  server         clips arrive at random (Poisson), at the rates of --rate; without it, saturation
                 is searched for: the highest rate at which the queue does not grow without end
  mixed          clips of other sizes, lengths, priorities and models, as a trace lists them
  soak           one rate for hours, and what changes meanwhile

With --versus two servers are asked for the same clips, one clip at a time, in the order A B B A,
so that a machine that becomes slower slows both: this shows the smallest differences. The folders
a and b of --output get a result each. --resolve 3% asks for as many as it takes to show 3 %.

The folder of --output gets result.json (longtake bench schema explains it), report.md with
figures, and bench.txt for benchstat. Each clip is written down as soon as it is there: after
Ctrl-C, the same command goes on with what is missing. Latency counts from when a clip was
due, so a server that is slow does not get fewer clips to be slow with. In the end some clips
are made again, on one shard, as a fast wrong answer is none (--fidelity).

Exit codes: 0 measured, 1 no clip was made, the server is gone or clips were wrong,
2 the request was wrong, 130 interrupted.`

// Defaults of counts, by scenario: enough for a p50 and p90 that say something, and, of a point of
// a sweep, for a verdict. Of the others, a trace or a duration decides.
var serveCounts = map[serve.Scenario]int{serve.SingleStream: 20, serve.Offline: 40,
	serve.Server: 60}

// resolveCount is the default of --count with --resolve: on a machine so noisy that more are needed
// it is better to find another one.
const resolveCount = 400

// resolveUsage explains --resolve.
var resolveUsage = fmt.Sprintf("with --versus: ask for clips until a difference of so much, such "+
	"as 3%%, would be found in four of five tries; --count (default: %d) and --duration are the most",
	resolveCount)

// serveBench is one `bench serve`.
type serveBench struct {
	// What is measured, and the folder that the results go to.
	setup  serve.Setup
	dir    string
	target target.Options // URL is "" for a cluster of this process
	versus string         // URL of the second server; "": there is none
	peak   float64        // multiply-adds a second of a device; 0: not given
	json   bool
	// reference is the server of setup.Reference; nil: there is none.
	reference *serve.Reference

	values         *config.Values
	local          local.Config // of a cluster of this process
	clip           job.Request  // what each clip asks for, as flags say it
	command        []string     // that repeats the run
	stdout, stderr io.Writer
}

// The flags are many, since a benchmark has to say all of what it measured, and the defaults are
// those of somebody who tries it: a minute on a laptop, without a server, an account or a file. Who
// measures for others sets most of them, and finds them in the result again.

// serveFlags are the flags that need more than a type to be read.
type serveFlags struct {
	// Names of a scenario and of files.
	scenario, prompts, trace, faults string
	// What people write with units: 60s or 3x, and 30/h.
	objective string
	resolve   string
	rates     []string
	// What a clip is: fields with flags of their own, and others as NAME=VALUE.
	clip  job.Request
	extra []string
	peak  float64 // TFLOPS
}

// benchServeCommand measures a server. What was measured goes to the folder, a summary of it to
// stdout, progress to stderr.
func benchServeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "serve", Short: "Measure a server under load",
		Long: benchServeHelp, Args: daemon.NoArgs}
	b, in := &serveBench{}, &serveFlags{}
	f, s, t := cmd.Flags(), &b.setup, &b.target

	// What is measured.
	f.StringVar(&in.scenario, "scenario", string(serve.SingleStream), "single-stream, offline, "+
		"server, mixed or soak")
	f.IntVar(&s.Count, "count", 0, "clips to measure, of each rate in a sweep (default: 20 in "+
		"single-stream, 40 in offline, 60 in server)")
	f.DurationVar(&s.Duration, "duration", 0, "for how long new clips are asked for, such as 30m")
	f.IntVar(&s.Warmup, "warmup", 2, "clips that come first and do not count")
	f.IntVar(&s.Rounds, "rounds", 1, "blocks into which clips are divided, for bench compare")
	f.StringSliceVar(&in.rates, "rate", nil, "arrivals, such as 0.5 (a second), 12/min or 30/h; "+
		"several with commas")
	f.Float64Var(&s.Precision, "precision", 0.1, "of a search for saturation: the part by which the "+
		"two rates may differ between which it lies")
	f.IntVar(&s.InFlight, "max-in-flight", 512, "clips under way; more wait, which counts as latency")
	f.DurationVar(&s.Timeout, "timeout", time.Hour, "after which a clip is given up")
	f.StringVar(&in.objective, "objective", "", "latency up to which a clip counts as goodput: such "+
		"as 60s, or 3x (of a single clip's)")
	f.IntVar(&s.Fidelity, "fidelity", 2, "clips that are made again, on one shard, and compared; of "+
		"other servers, by their files and pictures")
	f.StringVar(&s.Reference, "reference", "", "server that makes these clips for the comparison, "+
		"such as one of a single GPU, with the same key (default: the measured server)")
	f.Float64Var(&s.PSNR, "psnr", 30, "from which on, in dB of the worst frame, such a clip is "+
		"alike; one shard of ours has to be equal")
	f.StringVar(&in.faults, "faults", "", "what goes wrong meanwhile, an hour or in all, such as "+
		"kill=2/h,drain=1/h,leader=1: a shard is killed or drained, the leading coordinator killed; the "+
		"same clips are made without, too")
	f.Uint64Var(&s.Seed, "seed", 1, "of arrivals, of the order of prompts and of each clip's noise")

	// What is asked for.
	f.StringVar(&in.prompts, "prompts", prompts.Builtin, "file of prompts, one in a line or as JSON, "+
		"or builtin")
	f.StringVar(&in.trace, "trace", "", "file of clips for mixed: a JSON object in each line, or a "+
		"YAML list")
	f.StringArrayVar(&in.extra, "set", nil, "another field of each request, as NAME=VALUE, such as "+
		"mesh=cfg=2; several times for several")
	defineFields(f, &in.clip, func(field job.Field) bool {
		return slices.Contains([]string{"size", "num_frames", "fps", "num_inference_steps",
			"guidance_scale", "guidance_scale_2", "negative_prompt", "priority"}, field.Name)
	})

	// Of whom, and where results go.
	f.StringVar(&t.URL, "url", "", "server of any dialect, such as http://127.0.0.1:8000 (default: "+
		"that of --coordinator, or one that is started here)")
	f.StringVar(&b.versus, "versus", "", "a second server, which gets the same clips as --url, in "+
		"turn with it, with the same key; for bench compare")
	f.StringVar(&in.resolve, "resolve", "", resolveUsage)
	f.StringVar(&t.Dialect, "dialect", target.Auto, "of --url and --versus: "+
		strings.Join(target.Dialects, ", ")+", or auto")
	f.BoolVar(&t.Content, "content", false, "download each clip and compare it with its request; "+
		"that is work for the server, and no part of a latency")
	f.Float64Var(&in.peak, "peak-tflops", 0, "what one device computes at most, for MFU (default: as "+
		"far as the device is known)")
	f.StringVarP(&b.dir, "output", "o", "", "folder for the results (default: bench-SCENARIO)")
	f.BoolVar(&b.json, "json", false, "print the summary as JSON")
	config.Local().Define(f)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b.stdout, b.stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
		if err := b.read(cmd, *in); err != nil {
			return err
		}
		return b.run(cmd.Context())
	}
	return cmd
}

// The folder has one name by default, so that the same command goes on with the run that it has
// begun; a name with the time in it would be another run each time.

// journal is where each clip is written down.
func (b *serveBench) journal() string { return filepath.Join(b.dir, "journal.jsonl") }

// commandOf is the command line that repeats a run: flags that were set, without secrets, which a
// result must not have as it is shown to others.
func commandOf(cmd *cobra.Command) []string {
	secret := map[string]bool{}
	for _, s := range config.Client() {
		secret[s.Key] = s.Secret
	}

	out := strings.Fields(cmd.CommandPath())

	// Visit goes by name and not by place, so that equal runs have equal lines.
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if secret[f.Name] {
			return
		}
		value := config.Redact(cmp.Or(f.Value.String(), `""`))
		list, many := f.Value.(pflag.SliceValue)
		if !many {
			out = append(out, "--"+f.Name+"="+value)
			return
		}
		for _, v := range list.GetSlice() {
			out = append(out, "--"+f.Name+"="+v)
		}
	})
	return out
}
