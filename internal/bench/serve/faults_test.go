package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
	"github.com/longtake/longtake/internal/job"
)

func TestParseFaults(t *testing.T) {
	got, err := ParseFaults("kill=2/h, drain=0.5/h,leader=1")
	want := []FaultRate{{Kind: FaultKill, PerHour: 2}, {Kind: FaultDrain, PerHour: 0.5},
		{Kind: FaultLeader, Count: 1}}
	if err != nil || !slices.Equal(got, want) || FaultText(got) != "kill=2/h,drain=0.5/h,leader=1" {
		t.Errorf("%v, %v, %s", got, err, FaultText(got))
	}
	for _, bad := range []string{"kill", "kill=", "kill=0", "kill=-1", "kill=1.5", "frob=1",
		"kill=1001", "kill=1,kill=2", "kill=NaN/h", "kill=0/h", "kill=1,", "kill=2/day"} {
		if got, err := ParseFaults(bad); err == nil || !contains(err, "--faults has") {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

// TestPlannedFaults: as many as were asked for, spread over the run, and the same ones again.
func TestPlannedFaults(t *testing.T) {
	rates := []FaultRate{{Kind: FaultKill, PerHour: 6}, {Kind: FaultLeader, Count: 1}}
	plan := planFaults(rates, 3600, 100, 1)
	if len(plan) != 7 || !slices.Equal(plan, planFaults(rates, 3600, 100, 1)) ||
		slices.Equal(plan, planFaults(rates, 3600, 100, 2)) {
		t.Fatalf("%v", plan)
	}
	before := -600.0
	for _, f := range plan {
		if f.at < 0 || f.at > 3600 || f.kind == FaultKill && f.at-before < 300 {
			t.Errorf("%v", plan)
		}
		if f.kind == FaultKill {
			before = f.at
		}
	}
	if plan := planFaults(rates, 10, 4, 1); len(plan) != 2 {
		t.Errorf("a short run has %v", plan)
	}
}

// breaker does things to a stand: while a shard is away, its clips take longer.
type breaker struct {
	on     *stand
	done   []time.Time
	losses map[string][]job.Loss
}

func (d *breaker) Disturb(_ context.Context, kind string, n int) (Disturbance, error) {
	if kind == FaultLeader {
		return Disturbance{}, errors.New("no coordinator leads")
	}
	d.done = append(d.done, time.Now())
	return Disturbance{Target: fmt.Sprint("shard-", n), At: time.Now()}, nil
}

// TestFaults: the same clips are made without and with faults, and what each fault has cost is put
// down to it.
func TestFaults(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := plain(SingleStream)
			s.Faults = []FaultRate{{Kind: FaultKill, Count: 2}, {Kind: FaultLeader, Count: 1}}
			s.Objective = 15 * time.Second
			d := &breaker{on: newStand(1, 10*time.Second), losses: map[string][]job.Loss{}}
			made := 0
			d.on.work = func(r target.Request) time.Duration {
				made++
				if made != 29 { // the ninth with faults
					return 10 * time.Second
				}
				at := d.done[0]
				d.losses[fmt.Sprint(r.Seed)] = []job.Loss{{Time: at.Add(3 * time.Second), Redone: 4,
					Where: "shard-0 shard-7", Recovered: at.Add(5 * time.Second)}}
				return 20 * time.Second
			}
			d.on.hash = func(r target.Request) string {
				if wrong && made == 25 {
					return "other"
				}
				return r.Prompt
			}
			b := bench(t, s, &lossy{d}, folder(t))
			b.Disturber = d
			b.Losses = func(_ context.Context, id string) ([]job.Loss, error) { return d.losses[id], nil }
			if err := b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := b.Result(result.Tool{}, nil)
			if err := r.Check(); err != nil {
				t.Fatal(err)
			}
			f := r.Faults
			if f.Undisturbed.Completed != 20 || f.Under.Completed != 20 ||
				f.Undisturbed.Goodput.Met.Value != 1 || f.Under.Goodput.Met.Value != 0.95 ||
				len(f.Events) != 3 || lost(r) != 0 {
				t.Fatalf("%+v", f)
			}
			hits := 0
			for _, e := range f.Events {
				if strings.HasPrefix(e.Target, "(failed: no coordinator") != (e.Kind == FaultLeader) {
					t.Errorf("%+v", e)
				}
				if hits += len(e.Hit); len(e.Hit) > 0 && (e.Target != "shard-0" || e.Redone != 4 ||
					*e.Recovery != 5) {
					t.Errorf("%+v", e)
				}
			}
			if hits != 1 || r.Fidelity.Compared != 20 || (r.Fidelity.Differences() != "") != wrong {
				t.Errorf("%d hits, %+v", hits, r.Fidelity)
			}
		})
	}
}

// lossy is a stand whose clips say that they were begun twice where an attempt was lost.
type lossy struct{ *breaker }

func (l *lossy) Describe(ctx context.Context) (target.Server, error) { return l.on.Describe(ctx) }
func (l *lossy) Close() error                                        { return nil }

func (l *lossy) Make(ctx context.Context, r target.Request, w target.Watch) (target.Outcome,
	error) {
	o, err := l.on.Make(ctx, r, w)
	o.Attempts += len(l.losses[o.ID])
	return o, err
}

// TestCulprits: an attempt is put down to the shard that it ran on, though another fault came
// later.
func TestCulprits(t *testing.T) {
	faults := []result.Fault{{Kind: FaultKill, Target: "a", At: 10},
		{Kind: FaultLeader, Target: "c1", At: 12},
		{Kind: FaultDrain, Target: "b", At: 14}, {Kind: FaultKill, Target: "b", At: 300}}
	f := func(want int, at float64, planned bool, where string) {
		t.Helper()
		if got := culprit(faults, job.Loss{Where: where, Planned: planned}, at); got != want {
			t.Errorf("lost at %v on %s: fault %d, want %d", at, where, got, want)
		}
	}
	f(0, 13, false, "a b")
	f(1, 13, false, "b d")
	f(2, 15, true, "a b")
	f(-1, 15, true, "a d")
	f(-1, 5, false, "a")
	f(-1, 200, false, "a")
	f(3, 303, false, "a b")
}

// lost counts the clips that a run with faults has not made, and the one without has.
func lost(r result.Result) int {
	if r.Faults == nil {
		return 0
	}
	f := r.Faults
	missing := func(l result.Load) int { return l.Requests - l.Completed }
	return max(0, missing(f.Under)-missing(f.Undisturbed))
}
