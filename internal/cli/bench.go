package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/shard"
	"github.com/longtake/longtake/internal/terminal"
)

const benchHelp = `Time a clip of a model on several numbers of shards, in this process.

The cores are shared out: n shards have a n-th of the threads each, so that sharding
shows its own cost. With GPUs (see --device) n shards have one each, as far as there are
so many. Rounds take turns between the numbers of shards; each figure is the
minimum over the rounds (of the median step). Every run must make the same latents.
--checkpoints adds a row for each that saves the clip after every step, with its ratio to
the row before.`

// benchCommand measures: clips on numbers of shards, the parts of the engine, kernels of a GPU.
// None of them needs a coordinator. Figures go to stdout.
func benchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure speed"}
	run := &cobra.Command{Use: "run", Short: "Time a clip on several numbers of shards",
		Long: benchHelp, Args: daemon.NoArgs}
	f := run.Flags()
	// Not all fields of a request make sense here; those that do keep their flags.
	counts := f.IntSlice("shards", []int{1, 2, 4}, "numbers of shards; on GPUs the default is 1, 2, 4"+
		" and so on, up to all of them")
	rounds := f.Int("rounds", 2, "clips for each number of shards")
	var clip job.Request
	defineFields(f, &clip, func(field job.Field) bool {
		return slices.Contains([]string{"num_inference_steps", "size", "num_frames"}, field.Name)
	})
	dtype := f.String("dtype", dtypeAuto, dtypeUsage)
	config.Devices().Define(f)
	model := f.String("model", "", "folder of the model (default: the built-in one)")
	threads := f.Int("threads", runtime.NumCPU(), "threads in all")
	saving := f.Bool("checkpoints", false, "time each number of shards also with a checkpoint after"+
		" every step")

	js := asJSON(run)
	run.RunE = func(cmd *cobra.Command, _ []string) error {
		if *rounds < 1 || *rounds > 1000 {
			return daemon.Usagef("--rounds is %d; allowed: 1 to 1000", *rounds)
		}
		if *threads < 1 || *threads > 1024 {
			return daemon.Usagef("--threads is %d; allowed: 1 to 1024", *threads)
		}
		if err := checkCounts(*counts); err != nil {
			return err
		}

		b := clipBench{model: *model, threads: *threads, saving: *saving, clip: clip}
		if err := checkDType(*dtype); err != nil {
			return err
		}
		v, err := load(cmd, config.Devices())
		if err != nil {
			return err
		}
		if err := b.on.ChooseDevices(v); err != nil {
			return err
		}
		b.clip.DType = *dtype
		if *dtype == "" || *dtype == dtypeAuto {
			b.clip.DType = b.on.DefaultDType()
		}
		if n := len(b.on.GPUs); n > 0 && !f.Changed("shards") {
			*counts = doublings(n)
		}

		if err := b.announce(cmd.ErrOrStderr(), *counts); err != nil {
			return err
		}
		rows, err := b.run(cmd.Context(), *counts, *rounds)
		if err != nil {
			return inFlags(err)
		}
		return printBench(cmd.OutOrStdout(), rows, *js)
	}
	return group(cmd, run, benchEngineCommand(), benchGPUCommand(), benchDeviceCommand(),
		benchCoordinatorCommand(), benchCompareCommand(), benchReportCommand(), benchSchemaCommand(),
		benchServeCommand(), benchMLPerfCommand())
}

// clipBench is one `bench run`: a clip, made again for each number of shards, on the same cores.
type clipBench struct {
	// Folder of the model, "" for the built-in one, and the threads that all shards have together.
	model   string
	threads int
	// on has the GPUs that the shards share, and nothing else.
	on local.Config
	// saving adds a run with a checkpoint after every step for each number of shards.
	saving bool
	// clip is what is timed, but for its prompt, seed and shards, which measure sets.
	clip job.Request
}

// benchRow is what was measured for one number of shards, the best of all rounds. --json prints it.
type benchRow struct {
	// What was timed: how many shards, with how many threads each, in which mesh, and whether a
	// checkpoint was stored after every step.
	Shards      int    `json:"shards"`
	Checkpoints bool   `json:"checkpoints"`
	Threads     int    `json:"threads"`
	Mesh        string `json:"mesh"`

	// The median step of a clip, and its ratio: to the first row, or of a row with checkpoints to the
	// same one without.
	StepSeconds float64 `json:"step_seconds"`
	Ratio       float64 `json:"step_ratio"`

	// Whole stages, and all of them. The start of the cluster does not count.
	Denoise float64 `json:"denoise_seconds"`
	Decode  float64 `json:"decode_seconds"`
	Total   float64 `json:"total_seconds"`

	// What all shards together send in a step, and the sum by which runs are compared.
	BytesPerStep uint64 `json:"bytes_per_step"`
	Latents      string `json:"latents_sha256"`
}

// doublings returns 1, 2, 4 and so on up to n, and n.
func doublings(n int) (out []int) {
	for i := 1; i < n; i *= 2 {
		out = append(out, i)
	}
	return append(out, n)
}

// checkCounts refuses numbers of shards that no cluster in a process can have.
func checkCounts(counts []int) error {
	if len(counts) == 0 {
		return daemon.Usagef("--shards is empty; allowed: numbers of shards, such as 1,2,4")
	}
	for _, n := range counts {
		if n < 1 || n > local.ShardsMax {
			return daemon.Usagef("--shards is %d; allowed: 1 to %d", n, local.ShardsMax)
		}
	}
	return nil
}

// announce tells on stderr what the largest of the clusters computes on.
func (b clipBench) announce(w io.Writer, counts []int) error {
	c := b.on
	c.Shards = slices.Max(counts)
	c.Threads = max(1, b.threads/max(1, c.Shards))
	return printComputing(w, c, b.clip.DType)
}

// run measures counts in turn, rounds times over, so that a machine that slows down slows all rows
// alike. It fails if two runs make different latents: the figures of a wrong clip mean nothing.
func (b clipBench) run(ctx context.Context, counts []int, rounds int) ([]benchRow, error) {
	var setups []benchRow
	for _, n := range counts {
		setups = append(setups, benchRow{Shards: n})
		if b.saving {
			setups = append(setups, benchRow{Shards: n, Checkpoints: true})
		}
	}

	rows := make([]benchRow, len(setups))
	// Each round measures all rows, so that heat and other work spread over all of them.
	for round := range rounds {
		for i, s := range setups {
			row, err := b.measure(ctx, s.Shards, s.Checkpoints)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				row = best(row, rows[i])
			}
			rows[i] = row
			if row.Latents != rows[0].Latents {
				return nil, fmt.Errorf("%d shards made other latents than %d: %s, %s", s.Shards, counts[0],
					row.Latents, rows[0].Latents)
			}
		}
	}

	// A row with checkpoints stands right after the one without.
	for i := range rows {
		reference := 0
		if rows[i].Checkpoints {
			reference = i - 1
		}
		rows[i].Ratio = rows[i].StepSeconds / rows[reference].StepSeconds
	}
	return rows, nil
}

// best takes the smaller of each time of two runs of the same row. Minima of each are what the
// machine can do when nothing disturbs it; they need not be of the same run.
func best(a, b benchRow) benchRow {
	a.StepSeconds = min(a.StepSeconds, b.StepSeconds)
	a.Denoise, a.Decode = min(a.Denoise, b.Denoise), min(a.Decode, b.Decode)
	a.Total = min(a.Total, b.Total)
	return a
}

// measure makes one clip on a fresh cluster of n shards, with or without a checkpoint after every
// step, and stops the cluster. The model is loaded again for each clip: a cluster that has run one
// has warm caches, which the first of a row would lack.
func (b clipBench) measure(ctx context.Context, n int, saving bool) (row benchRow, err error) {
	// NATS carries the activations, as between processes, so that what exchange costs is in the
	// figures. The log is discarded, as it would stand between them.
	c := local.Config{Models: []shard.ModelDir{{Dir: b.model}}, Shards: n, GPUs: b.on.GPUs,
		VAEDType: b.on.VAEDType, Threads: max(1, b.threads/n), Transport: "nats",
		DType: b.clip.DType, Listen: "127.0.0.1:0", Auth: api.OpenAuth(),
		Checkpoints: saving, Log: slog.New(slog.DiscardHandler)}

	cluster, err := local.Start(ctx, c)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	cl, err := client.New(cluster.URL, nil)
	if err != nil {
		return row, err
	}

	// Prompt and seed are fixed, or the latents of two runs could not be compared. Asking for n shards
	// keeps the clip from running on fewer.
	prompt, seed := "a red ball bouncing over the sea at sunset", uint64(1)
	clip := b.clip
	clip.Prompt, clip.Seed, clip.Shards = prompt, &seed, n
	queue := func(ctx context.Context, c *client.Client) (schema.Video, error) {
		return c.Create(ctx, clip)
	}
	video, err := makeVideo(ctx, cl, queue, &lines{w: io.Discard})
	if err != nil {
		return row, err
	}

	r := video.Details.Result
	row = benchRow{Shards: n, Checkpoints: saving, Threads: c.Threads, Mesh: video.Details.Mesh,
		StepSeconds: r.StepSeconds, Denoise: r.Seconds[job.StageDenoise],
		Decode:       r.Seconds[job.StageDecode],
		BytesPerStep: r.StepBytes,
		Latents:      r.LatentsSHA256}
	for _, s := range r.Seconds {
		row.Total += s
	}
	return row, nil
}

// printBench prints a table, or an object a row with --json. The last line, of the latents, is true
// whenever it is printed: run fails where they differ.
func printBench(w io.Writer, rows []benchRow, js bool) error {
	if js {
		return terminal.Lines(w, rows)
	}
	err := terminal.Table(w,
		"SHARDS\tTHREADS\tMESH\tSTEP\tRATIO\tDENOISE\tDECODE\tTOTAL\tBYTES A STEP",
		func(w io.Writer) {
			for _, r := range rows {
				saved := ""
				if r.Checkpoints {
					saved = " + checkpoints"
				}
				terminal.Printf(w, "%d%s\t%dx%d\t%s\t%s\t%.2f\t%s\t%s\t%s\t%s\n", r.Shards, saved, r.Shards,
					r.Threads,
					r.Mesh, span(r.StepSeconds), r.Ratio, span(r.Denoise), span(r.Decode), span(r.Total),
					size(r.BytesPerStep))
			}
		})

	if len(rows) > 0 {
		terminal.Printf(w, "the latents were the same bytes in every run: %s\n", rows[0].Latents)
	}
	return err
}
