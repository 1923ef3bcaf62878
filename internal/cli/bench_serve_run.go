package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/bench/cluster"
	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/serve"
	"github.com/longtake/longtake/internal/bench/target"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/keyfile"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/perf"
)

// A cluster of this process is the one of longtake up, and is asked over HTTP by the same client as
// any other, so that its figures compare. It shares this machine with the load generator, which
// takes next to nothing beside it.

// describing is how long a server may take to say what it is.
const describing = time.Minute

// run starts the cluster, if it is one of this machine, and measures.
func (b *serveBench) run(ctx context.Context) (err error) {
	var inside *local.Cluster
	var outside *cluster.Cluster
	if b.setup.Embedded {
		var end func() error
		if inside, outside, end, err = b.start(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, end()) }()
	}

	// What follows is the same for all servers: this process's own is measured over HTTP as well.
	t, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	cohort, err := b.cohort(ctx, t, inside)
	if err != nil {
		return err
	}
	if err := b.ofOurs(cohort.Dialect); err != nil {
		return err
	}
	if b.setup.Reference != "" {
		end, err := b.openReference(ctx)
		if err != nil {
			return err
		}
		defer end()
	}
	if b.versus != "" {
		return b.measureBoth(ctx, t, cohort)
	}
	return b.measure(ctx, t, cohort, outside)
}

// start starts a cluster: in this process, or where things go wrong on purpose, of processes. end
// stops it.
func (b *serveBench) start(ctx context.Context) (in *local.Cluster, out *cluster.Cluster,
	end func() error, err error) {
	if err := b.preflight(ctx); err != nil {
		return nil, nil, nil, err
	}
	if len(b.setup.Faults) > 0 {
		if out, end, err = b.startProcesses(ctx); err == nil {
			b.target.URL = out.URL
		}
		return nil, out, end, err
	}

	// With checkpoints, as clusters have them that stay.
	b.local.Listen, b.local.Auth, b.local.Checkpoints = "127.0.0.1:0", api.OpenAuth(), true
	if in, err = local.Start(ctx, b.local); err != nil {
		return nil, nil, nil, err
	}
	b.target.URL = in.URL
	return in, nil, in.Close, nil
}

// The dialect is found out before the run, with requests that cost the server nothing, so that a
// URL of something else ends it at once.

// open reaches the server.
func (b *serveBench) open(ctx context.Context) (target.Target, error) {
	o := &b.target
	o.Timeout, o.Connections = b.setup.Timeout, b.setup.InFlight
	if o.Dialect == "longtake" && !b.setup.Embedded && o.Key == "" && client.OnLoopback(o.URL) {
		if path, err := keyfile.LocalPath(); err == nil {
			o.Key, _ = keyfile.Read(path) // none, or another user's: as if there were none
		}
	}

	// Options that make no sense are the user's mistake; a server that is away is none.
	t, err := target.Open(ctx, *o)
	var wrong *target.Failure
	if err != nil && (!errors.As(err, &wrong) || wrong.Kind == target.Rejected) {
		return nil, daemon.Usage(err)
	}
	return t, err
}

// Two results are compared if their cohorts agree, so what a server does not say of itself may be
// filled in by what was asked for, and by nothing that was guessed.

// cohort says what is measured, on what.
func (b *serveBench) cohort(ctx context.Context, t target.Target, own *local.Cluster) (
	c result.Cohort, err error) {
	ctx, cancel := context.WithTimeout(ctx, describing)
	defer cancel()
	s, err := t.Describe(ctx)
	if err != nil {
		return c, fmt.Errorf("the server does not say what it is: %w", err)
	}
	c = serve.Cohort(s)
	c.Embedded = b.setup.Embedded
	if b.setup.Embedded {
		c.Transport = b.local.Transport
	}
	if mesh, ok := b.setup.Request.Extra["mesh"]; ok {
		c.Mesh = fmt.Sprint(mesh)
	}

	// Without a peak there is no MFU. What was given goes before what is known, since a device may
	// be throttled, or be known under another name.
	for i := range c.Devices {
		d := &c.Devices[i]
		switch {
		case b.peak > 0:
			d.Peak, d.PeakSource = b.peak, "given (--peak-tflops)"
		case own != nil && len(b.local.GPUs) == 0 && b.local.Shards == 1:
			d.Peak, d.PeakSource, err = b.cpuPeak(own)
		default:
			// A device that is not known has no peak, and the run no MFU.
			if known, err := perf.Find(d.Kind); err == nil {
				d.Peak, d.PeakSource = known.Peak[c.DType]/2, known.Source
			}
		}
	}
	return c, err
}

// cpuPeak measures what this CPU computes at most, while nothing else does. Several shards on one
// CPU have no peak of their own: one decodes with the threads of all.
func (b *serveBench) cpuPeak(own *local.Cluster) (peak float64, source string, err error) {
	const tries = 8 // the best of several: the first finds pages cold, others are interrupted
	for range tries {
		offers, err := b.local.Offers(own.Models()[0])
		if err != nil {
			return 0, "", err
		}
		peak = max(peak, offers[0].Speed/2) // a multiply-add is two operations
	}
	return peak, serve.PeakMeasured, nil
}

// measure carries the setup out and writes what there is of a result, however it ends.
func (b *serveBench) measure(ctx context.Context, t target.Target, c result.Cohort,
	own *cluster.Cluster) error {
	j, err := b.openJournal(c, time.Now())
	if err != nil {
		return err
	}
	defer j.Close()

	// However the run ends, what there is of it is summed up: hours of clips are worth a report.
	progress := newServeProgress(b.stderr)
	run := serve.Bench{Setup: b.setup, Target: t, Journal: j, Tell: progress.tell,
		Reference: b.reference, Dir: b.dir}
	if err := b.disturb(&run, own); err != nil {
		return err
	}
	failed := run.Run(ctx)
	progress.end()
	r, err := b.save(&run, failed)
	if err != nil || len(r.Requests) == 0 {
		return errors.Join(failed, err)
	}
	if err := printServed(b.stdout, r, b.report(), b.json); err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, verdictOf(r, failed))
}

// openJournal opens the folder's, for a run that began now if it is not there.
func (b *serveBench) openJournal(c result.Cohort, now time.Time) (*serve.Journal, error) {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, daemon.Usagef("--output: %w", err)
	}
	j, err := serve.OpenJournal(b.journal(), serve.Head(b.setup, c, now))
	if err != nil {
		return nil, daemon.Usagef("--output is %s: %w", b.dir, err)
	}
	return j, nil
}

// save writes what there is of a result, if there is a clip; failed is how its run ended.
func (b *serveBench) save(run *serve.Bench, failed error) (result.Result, error) {
	r := run.Result(result.Tool{Name: "longtake", Version: daemon.Version, Command: b.command}, failed)
	if len(r.Requests) == 0 {
		return r, nil
	}
	return r, result.Save(b.dir, r)
}

// report is where people read of it.
func (b *serveBench) report() string { return filepath.Join(b.dir, "report.md") }

// A benchmark that measured a failing server has done what it was asked for, so failures are in the
// result, and no reason for an exit code of 1, as long as there is one clip and all are right.

// verdictOf is why a run that was carried out is none to go by.
func verdictOf(r result.Result, failed error) error {
	if failed != nil {
		return nil // which says more
	}

	// A summary of nothing looks as if there was something, and so does one of wrong clips.
	if r.Summary.Completed == 0 {
		for _, q := range r.Requests {
			if q.Failure != nil {
				return fmt.Errorf("no clip was made; the first one: %s", q.Failure.Message)
			}
		}
		return errors.New("no clip was made")
	}

	if wrong := r.Fidelity.Differences(); wrong != "" {
		return errors.New(wrong)
	}
	return nil
}
