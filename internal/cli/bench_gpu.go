package cli

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/bench"
	"github.com/longtake/longtake/internal/cuda"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/terminal"
)

const benchGPUHelp = `Time on this machine's GPU, by the GPU's clock, and with the share of its
peak: matrix products alone and as Wan's blocks have them (with bias, GELU, gate, residual),
attention, the VAE's convolutions, decoding and encoding of a clip, the text encoder, blocks of
Wan's transformers, a pass and a guided step of the 1.3B one, uploading of weights, and copies. Rows
of 1 GB or more note the most memory that was in use. "make gpu-bench" builds what this needs and
runs it.

--device-file writes what was measured as a file that describes this kind of GPU, from which it is
predicted what clips take on others of its kind.

With --torch, PyTorch times the same for comparison. --only times those items alone whose names
a regular expression matches; --names lists them, those of --only alone if both are given:

  bin/cuda/longtake bench gpu --torch "python3 tools/bench_torch_gpu.py"
  bin/cuda/longtake bench gpu --only '^gemm (4096|8192)|^attention 16384'`

// gpuBench is one `bench gpu`, as its flags ask for it.
type gpuBench struct {
	// sizes is "full" or "tiny"; torch is the command of a peer, and page a file of documentation
	// whose tables are replaced, "" for none.
	sizes, torch, page string
	// deviceFile is a file to write that describes the GPU, "" for none.
	deviceFile string
	// ordinal is the GPU's number as CUDA counts them, rounds how often each item takes its turn.
	ordinal, rounds int
	// only is a regular expression of the names of items, "" for all; matches follows from it.
	only    string
	matches *regexp.Regexp
	// list only prints the GPU's name, and names those of the items.
	list, names, json bool
}

// benchGPUCommand times kernels and passes of a model on a GPU. The command is there in every
// build, so that help and docs are the same; where no GPU can be opened it is an error.
func benchGPUCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "gpu",
		Short: "Time the kernels on a GPU, and compare them with PyTorch",
		Long:  benchGPUHelp, Args: daemon.NoArgs}
	var b gpuBench
	f := cmd.Flags()
	f.StringVar(&b.sizes, "sizes", "full", "full, or tiny: one small item of each kind")
	f.StringVar(&b.torch, "torch", "", "command that times the same in PyTorch")
	f.StringVar(&b.page, "page", "", "page to write the tables to, between the lines for them")
	f.StringVar(&b.deviceFile, "device-file", "", "file to write that describes this GPU")
	f.IntVar(&b.ordinal, "gpu", 0, "number of the GPU")
	f.IntVar(&b.rounds, "rounds", 3, "turns of each item; the least time counts")
	f.StringVar(&b.only, "only", "", "regular expression of the items to time (default: all)")
	f.BoolVar(&b.list, "list", false, "only say which GPU there is")
	f.BoolVar(&b.names, "names", false, "only list the items")

	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b.json = *js
		if err := b.check(); err != nil {
			return err
		}
		return b.run(cmd)
	}
	return cmd
}

// check refuses flags that do not go together, before a device is opened.
func (b *gpuBench) check() (err error) {
	if b.only != "" {
		if b.matches, err = regexp.Compile(b.only); err != nil {
			return daemon.Usagef("--only is %q; allowed: a regular expression: %w", b.only, err)
		}
	}

	items := bench.GPU{Tiny: b.sizes == "tiny"}.Names()
	none := b.matches != nil && !slices.ContainsFunc(items, b.matches.MatchString)
	switch {
	case b.sizes != "full" && b.sizes != "tiny":
		return daemon.Usagef("--sizes is %q; allowed: full, tiny", b.sizes)
	case b.sizes == "tiny" && b.kept() != "":
		return daemon.Usagef("%s: times of tiny sizes are not for a file", b.kept())
	case b.kept() != "" && b.only != "":
		return daemon.Usagef("%s: the file is of all items, and --only times some", b.kept())
	case none:
		return daemon.Usagef("--only is %q, which no item's name matches; --names lists them", b.only)
	case b.rounds < 1 || b.rounds > 1000:
		return daemon.Usagef("--rounds is %d; allowed: 1 to 1000", b.rounds)
	case b.deviceFile != "":
		return checkFile(b.deviceFile)
	}
	return nil
}

// kept names the flag by which times become part of a file, "" if there is none.
func (b *gpuBench) kept() string {
	switch {
	case b.page != "":
		return "--page"
	case b.deviceFile != "":
		return "--device-file"
	}
	return ""
}

// run opens the device, prints each row as it is measured, and writes the page if one was asked
// for.
func (b gpuBench) run(cmd *cobra.Command) (err error) {
	out := cmd.OutOrStdout()
	if b.names {
		return b.printNames(out)
	}

	if n, err := cuda.Count(); err == nil && (b.ordinal < 0 || b.ordinal >= n) {
		return daemon.Usagef("--gpu is %d; allowed: 0 to %d", b.ordinal, n-1)
	}
	gpu, err := cuda.Open(cuda.Options{Ordinal: b.ordinal})
	if errors.Is(err, cuda.ErrNone) {
		err = fmt.Errorf("%w; this needs a machine with an NVIDIA GPU and its driver", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gpu.Close()) }()

	if b.list {
		terminal.Printf(out, "%s\n", gpu.Name())
		return nil
	}
	// An emulator checks results, and its times mean nothing.
	if b.kept() != "" && bench.Emulated(gpu.Name()) {
		return daemon.Usagef("%s: times of the emulated GPU are not for a file", b.kept())
	}
	kind := perf.Device{}
	if b.deviceFile != "" {
		if kind, err = perf.Find(strings.TrimPrefix(gpu.Name(), "cuda: ")); err != nil {
			return fmt.Errorf("cannot describe this GPU: %w", err)
		}
	}

	peer := ""
	g := bench.GPU{Device: gpu, Tiny: b.sizes == "tiny", Only: b.matches, Rounds: b.rounds}
	other, err := b.other()
	if err != nil {
		return err
	}
	if other != nil {
		defer other.Close()
		g.Other = other
	}

	// Without its peer the benchmark still measures this GPU.
	if b.torch != "" {
		if g.Peer, err = bench.StartPeer(cmd.Context(), strings.Fields(b.torch)); err != nil {
			terminal.Printf(cmd.ErrOrStderr(), "no comparison: %v\n", err)
		} else {
			defer g.Peer.Close()
			peer = g.Peer.Name
		}
	}

	var rows []bench.Row
	g.Report = b.report(out, gpu.Name(), peer, &rows)
	if err := g.Run(); err != nil {
		return err
	}
	if b.deviceFile != "" {
		where := "longtake bench gpu on " + strings.TrimPrefix(gpu.Name(), "cuda: ")
		err = bench.DeviceFile(b.deviceFile, kind, where, rows)
	}
	if err != nil || b.page == "" {
		return err
	}
	// The page is written last and at once, so that a run that fails leaves the old figures.
	return bench.Page(b.page, gpu.Name(), peer, rows)
}

// printNames lists the items, those that --only matches if there is one.
func (b gpuBench) printNames(out io.Writer) error {
	for _, name := range (bench.GPU{Tiny: b.sizes == "tiny"}).Names() {
		if b.matches != nil && !b.matches.MatchString(name) {
			continue
		}
		if !b.json {
			terminal.Printf(out, "%s\n", name)
		} else if err := terminal.JSON(out, map[string]string{"name": name}); err != nil {
			return err
		}
	}
	return nil
}

// other opens the GPU after the one that is measured, for copies between two; nil where there is
// none.
func (b gpuBench) other() (cuda.GPU, error) {
	n, err := cuda.Count()
	if err != nil || n < 2 {
		return nil, err
	}
	return cuda.Open(cuda.Options{Ordinal: (b.ordinal + 1) % n})
}

// gpuRow is the layout of a row of the table.
const gpuRow = "%-50s %-5s %9s %9s %7s %9s %6s %s\n"

// report prints the head and returns what prints and keeps a row. Rows go to stdout as they are
// measured; they are kept in rows for the page. The function is called by the goroutine that runs
// the benchmark.
func (b gpuBench) report(out io.Writer, device, peer string, rows *[]bench.Row) func(bench.Row) {
	if !b.json {
		terminal.Printf(out, "%s", device)
		if peer != "" {
			terminal.Printf(out, ", compared with %s", peer)
		}
		terminal.Printf(out, "\n")
		terminal.Printf(out, gpuRow, "ITEM", "DTYPE", "TIME", "TFLOP/S", "PEAK", "THEIRS", "RATIO",
			"NOTE")
	}

	return func(r bench.Row) {
		*rows = append(*rows, r)
		if b.json {
			_ = terminal.JSON(out, r)
			return
		}

		// Speed is in TFLOP/s here, as a GPU has thousands of GFLOP/s.
		speed, peak, theirs, ratio := "", "", "", ""
		if r.GFLOPS > 0 {
			speed = fmt.Sprintf("%.4g", r.GFLOPS/1e3)
		}
		if r.Peak > 0 {
			peak = fmt.Sprintf("%.3f", r.Peak)
		}
		if r.Peer > 0 {
			theirs, ratio = span(r.Peer), fmt.Sprintf("%.2f", r.Ratio)
		}
		terminal.Printf(out, gpuRow, r.Name, r.DType, span(r.Seconds), speed, peak, theirs, ratio, r.Note)
	}
}
