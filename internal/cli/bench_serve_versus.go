package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/serve"
	"github.com/longtake/longtake/internal/bench/target"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

// Two servers are two runs with folders of their own, which take turns: each has all that a run of
// one server has, and either goes on after an interruption.

// errOther ends a side whose pair has failed: clips without a twin compare with nothing.
var errOther = errors.New("the run of the other server has failed")

// sides are the runs of --url and --versus.
func (b *serveBench) sides() []*serveBench {
	var out []*serveBench
	for _, side := range []string{serve.SideA, serve.SideB} {
		one := *b
		one.setup.Side, one.dir = side, filepath.Join(b.dir, side)
		out = append(out, &one)
	}
	out[1].target.URL = b.versus
	return out
}

// resumableBoth is serve.Resumable of both sides. A run is complete if both are.
func (b *serveBench) resumableBoth() error {
	complete := 0
	for _, one := range b.sides() {
		err := serve.Resumable(one.journal(), one.setup)
		if errors.Is(err, serve.ErrComplete) {
			complete++
		} else if err != nil {
			return err
		}
	}
	if complete == 2 {
		return serve.ErrComplete
	}
	return nil
}

// measureBoth asks the servers for the same clips, in turn, and writes a result of each. first is
// the server of --url, which is reached already.
func (b *serveBench) measureBoth(ctx context.Context, first target.Target, of result.Cohort) error {
	both := b.sides()
	second, err := both[1].open(ctx)
	if err != nil {
		return fmt.Errorf("--versus: %w", err)
	}
	defer second.Close()
	other, err := both[1].cohort(ctx, second, nil)
	if err != nil {
		return fmt.Errorf("--versus: %w", err)
	}

	// One time for both: by it, journals are known to be of one run.
	now := time.Now()
	var journals []*serve.Journal
	for i, cohort := range []result.Cohort{of, other} {
		j, err := both[i].openJournal(cohort, now)
		if err != nil {
			return err
		}
		defer j.Close()
		journals = append(journals, j)
	}
	turns, err := serve.NewTurns(journals[0], journals[1])
	if err != nil {
		return daemon.Usagef("--output is %s: %w", b.dir, err)
	}

	progress := newServeProgress(b.stderr)
	runs := make([]*serve.Bench, 2)
	for i, t := range []target.Target{first, second} {
		runs[i] = &serve.Bench{Setup: both[i].setup, Target: t, Journal: journals[i], Turns: turns,
			Reference: b.reference, Dir: both[i].dir}
	}
	runs[0].Tell = progress.tell // B is where A is
	failed := together(ctx, runs)
	progress.end()
	return b.finishBoth(both, runs, failed)
}

// together carries runs out at once. One that fails ends the others.
func together(ctx context.Context, runs []*serve.Bench) []error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	failed := make([]error, len(runs))
	var first sync.Once
	var all sync.WaitGroup
	for i, run := range runs {
		all.Go(func() {
			err := run.Run(inner)
			if err == nil {
				return
			}
			failed[i] = errOther
			first.Do(func() { failed[i] = err; stop() })
		})
	}

	all.Wait()
	return failed
}

// finishBoth writes and prints what there is of both results.
func (b *serveBench) finishBoth(both []*serveBench, runs []*serve.Bench, failed []error) error {
	lines := map[string]servedLine{}
	var out error
	for i, one := range both {
		r, err := one.save(runs[i], failed[i])
		if failed[i] == nil && err == nil {
			err = verdictOf(r, nil)
		}
		if err != nil {
			out = errors.Join(out, fmt.Errorf("%s: %w", one.setup.Side, err))
		}
		if failed[i] != nil && !errors.Is(failed[i], errOther) {
			out = errors.Join(out, failed[i])
		}

		if len(r.Requests) == 0 {
			continue
		}
		if lines[one.setup.Side] = lineOf(r, one.report()); b.json {
			continue
		}
		terminal.Printf(b.stdout, "%s: %s\n", one.setup.Side, one.target.URL)
		if err := printServed(b.stdout, r, one.report(), false); err != nil {
			return errors.Join(out, err)
		}
	}

	if b.json {
		return errors.Join(out, terminal.JSON(b.stdout, lines))
	}
	if len(lines) == 2 {
		terminal.Printf(b.stdout, "Clips an hour count the other server's time, too. To compare: "+
			"longtake bench compare %s %s\n",
			both[0].dir, both[1].dir)
	}
	return out
}
