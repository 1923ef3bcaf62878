package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/bench/prompts"
	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/serve"
	"github.com/longtake/longtake/internal/bench/target"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/shard"
	"github.com/longtake/longtake/internal/userfile"
)

// Whatever can be wrong is found out before a cluster starts or a clip is asked for. What only the
// server knows, such as sizes that it does not make, comes with the first clip.

// read reads the flags and files, and checks all that can be checked before a server is there: a
// run takes hours. Errors are usage errors.
func (b *serveBench) read(cmd *cobra.Command, in serveFlags) error {
	s := &b.setup
	s.Scenario = serve.Scenario(in.scenario)
	if b.dir == "" {
		b.dir = "bench-" + in.scenario
	}

	if err := b.readCount(in.resolve, cmd.Flags().Changed("count")); err != nil {
		return err
	}
	if cmd.Flags().Changed("peak-tflops") && !(in.peak > 0 && in.peak <= 1e6) {
		return daemon.Usagef("--peak-tflops is %v; allowed: above 0, to 1e6", in.peak)
	}

	b.peak = in.peak * 1e12 / 2 // a multiply-add is two operations

	// What people write in their own way.
	var err error
	if s.Rates, err = ratesOf(in.rates); err != nil {
		return err
	}

	if s.Objective, s.Multiple, err = objectiveOf(in.objective); err != nil {
		return err
	}
	b.clip = in.clip
	if s.Faults, err = serve.ParseFaults(in.faults); err != nil {
		return daemon.Usage(err)
	}
	if s.Request, err = requestOf(in.clip, in.extra); err != nil {
		return err
	}

	// Files. The trace comes first, as its own prompts are added to the list.
	if in.trace != "" {
		text, err := userfile.Read(in.trace, serve.TraceMax)
		if err != nil {
			return daemon.Usagef("--trace: %w", err)
		}
		entries, file, err := serve.ParseTrace(in.trace, text)
		if err != nil {
			return daemon.Usagef("--trace: %w", err)
		}
		s.Trace, s.File = entries, &file
	}

	list, err := prompts.Open(in.prompts)
	if err != nil {
		return daemon.Usagef("--prompts: %w", err)
	}

	s.SetPrompts(list)

	if err := b.readServer(cmd); err != nil {
		return err
	}
	if cmd.Flags().Changed("versus") {
		s.Side = serve.SideA // that of B has the same
	}
	if err := s.Check(); err != nil {
		return daemon.Usage(err)
	}
	if err := b.checkFaults(); err != nil {
		return err
	}
	return b.checkFolder()
}

// readCount reads what is to be resolved, and says how many clips there are where nobody did.
func (b *serveBench) readCount(resolve string, counted bool) error {
	s := &b.setup
	if resolve != "" {
		share, err := gateOf("--resolve", resolve)
		if err != nil || share == 0 {
			return daemon.Usagef("--resolve is %.40q; allowed: %g%% to 100%%, such as 3%%", resolve,
				100*result.ResolveMin)
		}
		s.Resolve = share
	}

	switch {
	case counted || s.Count > 0 || s.Duration > 0:
	case s.Resolve > 0:
		s.Count = resolveCount
	default:
		s.Count = serveCounts[s.Scenario]
	}
	return nil
}

// checkFolder refuses a folder with another run, or with one that has ended: to measure nothing,
// and print what was measured last week, would mislead.
func (b *serveBench) checkFolder() error {
	err := serve.Resumable(b.journal(), b.setup)
	if b.versus != "" {
		err = b.resumableBoth()
	}
	switch {
	case errors.Is(err, serve.ErrComplete):
		return daemon.Usagef("--output is %s, where a run is complete; allowed: another folder "+
			"(longtake bench report %s/result.json makes its report again)", b.dir, b.dir)
	case err != nil:
		return daemon.Usagef("--output is %s: %w", b.dir, err)
	}
	return nil
}

// There are three ways to name a server, and none of them is guessed at: a cluster that is there is
// measured only if somebody has said so, as measuring is a load on it.

// readServer reads whom to measure.
func (b *serveBench) readServer(cmd *cobra.Command) (err error) {
	if b.values, err = load(cmd, config.Local()); err != nil {
		return err
	}
	b.command = commandOf(cmd)
	v, t := b.values, &b.target
	flag := func(key string) bool { return strings.HasPrefix(v.Source(key), "flag") }

	// A coordinator in the environment is one that the user has, and no reason to refuse --url.
	switch {
	case t.URL != "" && flag("coordinator"):
		return daemon.Usagef("--url and --coordinator name two servers; leave one out")
	case t.URL == "" && b.versus != "":
		return daemon.Usagef("--versus is a second server beside that of --url, which is missing")
	case t.URL == "" && cmd.Flags().Changed("dialect"):
		return daemon.Usagef("--dialect is of --url, which is missing")
	case t.URL == "" && v.String("coordinator") == "":
		return b.readLocal()
	}

	// A server of its own has its own flags.
	g := generation{values: v}
	if err := g.checkRemote(); err != nil {
		return err
	}

	t.Model, t.CA = g.request.Model, v.String("ca")
	if cmd.Flags().Changed("shards") {
		return daemon.Usagef("--shards is of a cluster that is started here; allowed: --set shards=N, " +
			"for each clip")
	}

	// A key of the environment is for coordinators of the user's, and nobody else's server.
	if t.URL == "" || flag("api-key") || flag("api-key-file") {
		t.Key, err = readKey(v)
	}

	if t.URL == "" {
		t.URL, t.Dialect = v.String("coordinator"), "longtake"
	}
	return err
}

// Hours of clips that nobody looks at would fill the disk of whoever tries a soak.

// clipsKept is what the clips of a cluster that is started here may take: nobody fetches them.
const clipsKept = 256 << 20

// readLocal reads the settings of a cluster of this process.
func (b *serveBench) readLocal() error {
	log, err := daemon.Logger(b.values, b.stderr)
	if err != nil {
		return err
	}
	if b.local, err = local.Read(b.values, 0, log); err != nil {
		return err
	}
	if len(b.local.Models) == 0 {
		b.local.Models = []shard.ModelDir{{}}
	}

	// The limits are those of longtake up, but that nothing is kept which nobody will ask for.
	b.local.Storage = coord.Limits{KeepBytes: clipsKept}
	b.setup.Embedded, b.target.Dialect = true, "longtake"
	return nil
}

// preflight judges a clip as the coordinator would, before a cluster is started for it.
func (b *serveBench) preflight(ctx context.Context) error {
	// Fields that have no flag here are checked in the same way as those that have.
	r := b.clip
	for name, value := range b.setup.Request.Extra {
		field, ok := job.LookupField(name)
		if !ok {
			return daemon.Usagef("--set has %q, which is no field of a request; docs/api.md lists them",
				name)
		}
		if err := field.Set(&r, fmt.Sprint(value)); err != nil {
			return daemon.Usagef("--set has %q: %w", name, err)
		}
	}
	g := generation{request: r, local: b.local, stderr: b.stderr}
	return inFlags(g.preflight(ctx))
}

// Values with units are read here and not by package flag, whose errors would not say which of
// several values is wrong, nor what is allowed.

// ratesOf reads rates as 0.5, 0.5/s, 12/min or 30/h, in clips a second.
func ratesOf(texts []string) (out []float64, err error) {
	for _, text := range texts {
		number, unit, _ := strings.Cut(strings.TrimSpace(text), "/")
		// An hour holds few clips of a large model, so rates an hour are those that people think in.
		per, ok := map[string]float64{"": 1, "s": 1, "min": 60, "h": 3600}[unit]
		v, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || !(v > 0) || math.IsInf(v, 0) {
			return nil, daemon.Usagef("--rate has %.40q; allowed: such as 0.5, 12/min or 30/h", text)
		}
		out = append(out, v/per)
	}
	return out, nil
}

// A service has an objective in seconds, which was promised; who compares machines wants one that
// is as hard for a fast one as for a slow one.

// objectiveOf reads a latency as 60s, or as a multiple of that of a single clip as 3x.
func objectiveOf(text string) (fixed time.Duration, multiple float64, err error) {
	if text == "" {
		return 0, 0, nil
	}
	if number, ok := strings.CutSuffix(text, "x"); ok {
		multiple, err = strconv.ParseFloat(number, 64)
	} else {
		fixed, err = time.ParseDuration(text)
	}
	if err != nil || !(fixed > 0 || multiple > 0) {
		return 0, 0, daemon.Usagef("--objective is %.40q; allowed: such as 60s, or 3x (three times a "+
			"single clip's)", text)
	}
	return fixed, multiple, nil
}

// requestOf is what all clips ask for.
func requestOf(clip job.Request, extra []string) (r target.Request, err error) {
	r = target.Request{Negative: clip.NegativePrompt, Priority: clip.Priority,
		Guidance: clip.GuidanceScale, Guidance2: clip.GuidanceScale2}
	if clip.Size != "" {
		if r.Width, r.Height, err = prompts.ParseSize(clip.Size); err != nil {
			return r, daemon.Usagef("--%w", err)
		}
	}

	for _, p := range []struct {
		flag     string
		to, from *int
	}{{"frames", &r.Frames, clip.Frames}, {"steps", &r.Steps, clip.Steps}} {
		if p.from == nil {
			continue
		}
		if *p.to = *p.from; *p.to < 1 { // 0 would be the server's default
			return r, daemon.Usagef("--%s is %d; allowed: from 1", p.flag, *p.to)
		}
	}

	if clip.FPS != nil {
		if r.FPS = int(*clip.FPS); float64(r.FPS) != float64(*clip.FPS) {
			return r, daemon.Usagef("--fps is %v; allowed: whole numbers, which all servers take", *clip.FPS)
		}
	}

	for _, text := range extra {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return r, daemon.Usagef("--set is %.40q; allowed: NAME=VALUE", text)
		}
		if r.Extra == nil {
			r.Extra = map[string]any{}
		}
		r.Extra[name] = valueOf(value)
	}
	return r, nil
}

// Other servers have fields that nobody here has heard of, and want them as numbers, lists or
// objects: JSON has all of these, and what is not JSON is a text.

// valueOf reads a value as JSON, so that numbers are numbers, or else as a text. Numbers keep their
// digits.
func valueOf(text string) any {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()

	// What stands behind a value makes it a text: a seed of 5, and a prompt of "5 balls".
	var v any
	if err := d.Decode(&v); err != nil {
		return text
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return text
	}
	return v
}
