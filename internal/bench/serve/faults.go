package serve

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/job"
)

// The undisturbed run and the disturbed one ask for the same clips at the same times, of the same
// cluster, one after the other. What differs between them is what the faults have cost: clips that
// failed, clips that came too late, steps that were made twice. Each clip has a twin, whose latents
// have to be the same bytes: a clip that goes on elsewhere may not be another clip.

// Kinds of faults.
const (
	FaultKill   = "kill"   // a shard at work ends without a word, and another one takes its place
	FaultDrain  = "drain"  // a shard at work is taken out of use, and let back in
	FaultLeader = "leader" // the leading coordinator ends without a word, and is started again
)

// faultKinds lists them.
var faultKinds = []string{FaultKill, FaultDrain, FaultLeader}

// faultsMax bounds how many faults of a kind a run may have.
const faultsMax = 1000

// FaultRate is how often something goes wrong: Count times in the run, or PerHour times an hour,
// but at least once.
type FaultRate struct {
	Kind    string  `json:"kind"`
	Count   int     `json:"count,omitempty"`
	PerHour float64 `json:"per_hour,omitempty"`
}

// ParseFaults reads faults as kill=2/h,drain=1/h,leader=1.
func ParseFaults(text string) ([]FaultRate, error) {
	const allowed = "allowed: such as kill=2/h,drain=1/h,leader=1, of kill, drain and leader"
	var out []FaultRate

	// A kind that is there twice would have two rates.
	for _, part := range strings.Split(text, ",") {
		if text == "" {
			break
		}
		kind, often, ok := strings.Cut(strings.TrimSpace(part), "=")
		f := FaultRate{Kind: kind}
		var err error
		if n, hourly := strings.CutSuffix(often, "/h"); hourly {
			f.PerHour, err = strconv.ParseFloat(n, 64)
			ok = ok && f.PerHour > 0 && f.PerHour <= faultsMax
		} else {
			f.Count, err = strconv.Atoi(often)
			ok = ok && f.Count > 0 && f.Count <= faultsMax
		}
		twice := slices.ContainsFunc(out, func(o FaultRate) bool { return o.Kind == kind })
		if !ok || err != nil || twice || !slices.Contains(faultKinds, kind) {
			return nil, fmt.Errorf("--faults has %.40q; %s", part, allowed)
		}
		out = append(out, f)
	}
	return out, nil
}

// FaultText writes faults as ParseFaults reads them.
func FaultText(list []FaultRate) string {
	var out []string
	for _, f := range list {
		often := strconv.Itoa(f.Count)
		if f.PerHour > 0 {
			often = strconv.FormatFloat(f.PerHour, 'g', -1, 64) + "/h"
		}
		out = append(out, f.Kind+"="+often)
	}
	return strings.Join(out, ",")
}

// Whoever disturbs does not wait for what it ended to come back, or the next fault would be late;
// how long that took is found out from what the server says of the attempts that were lost.

// Disturbance is what was done to a server.
type Disturbance struct {
	Target string // a shard's or coordinator's name
	At     time.Time
	// Recovery is how long it took until the cluster could do again what the target did, where that
	// was looked at: for a leader, until there was another one.
	Recovery time.Duration
}

// Disturber does things to servers.
type Disturber interface {
	// Disturb does one thing of a kind, the n-th of the run, and returns when it is done: what ended
	// need not be there again. It is called by one goroutine.
	Disturb(ctx context.Context, kind string, n int) (Disturbance, error)
}

// plannedFault is when something goes wrong: in seconds from the start of the pass, or, where clips
// are counted and nobody knows how long they will take, after so many of them.
type plannedFault struct {
	kind  string
	at    float64
	after int
}

// Faults are planned before the first one, as arrivals are, so that two servers, or two versions of
// one, meet the same ones at the same times. Their rate is for people who know how often their
// machines fail; a run that is shorter than one failure has one all the same, or nothing would be
// shown.

// planFaults spreads faults over a length of time, in seconds, and over as many clips: each kind
// has parts of equal length, and each fault a random time in the middle half of its part, so that
// two of a kind are never too close to tell apart what they cost.
func planFaults(rates []FaultRate, length float64, clips int, seed uint64) []plannedFault {
	var out []plannedFault

	// Each kind draws from numbers of its own, so that more of one moves none of another.
	for i, f := range rates {
		rng := stream(seed, streamFaults, i)
		n := f.Count
		if f.PerHour > 0 {
			n = min(faultsMax, max(1, int(math.Round(f.PerHour*length/3600))))
		}
		for k := range n {
			part := (float64(k) + 0.25 + rng.Float64()/2) / float64(n)
			out = append(out, plannedFault{kind: f.Kind, at: part * length,
				after: int(part * float64(clips))})
		}
	}

	slices.SortStableFunc(out, func(a, b plannedFault) int {
		if a.at < b.at {
			return -1
		}
		return 1
	})
	return out
}

// The undisturbed run comes first: its length says how far apart the faults are, and its clips are
// the ones that those of the disturbed run are held to. Caches are warm in both, as the clips of a
// warm-up come before each.

// disturbed makes the same clips twice: undisturbed, and while things go wrong.
func (b *Bench) disturbed(ctx context.Context) error {
	rate := 0.0
	if len(b.Setup.Rates) > 0 {
		rate = b.Setup.Rates[0]
	}

	if b.Setup.Scenario == Server {
		b.rates = []float64{rate}
	}

	calm := pass{n: 1, what: "undisturbed", phase: result.PhaseUndisturbed, rate: rate,
		resumable: !b.Setup.Scenario.open()}
	clips, err := b.do(ctx, calm)
	b.clips = append(b.clips, clips...)
	if err != nil {
		return err
	}

	// The faults are spread over as long as the undisturbed clips took. The disturbed ones take
	// longer, so each fault has work to hit.
	length := 0.0
	for _, q := range clips {
		length = max(length, q.Done())
	}

	if n := len(clips); n > 0 {
		length -= slices.MinFunc(clips, func(x, y result.Request) int { return x.Index - y.Index }).Sent
	}
	rough := pass{n: 2, what: "with faults", phase: result.PhaseMeasure, rate: rate,
		faults: planFaults(b.Setup.Faults, length, len(clips), b.Setup.Seed)}
	first := len(b.slots)
	disturbed, err := b.do(ctx, rough)
	b.clips = append(b.clips, disturbed...)
	if err == nil {
		err = b.settle(ctx, clips, disturbed, first)
	}
	return err
}

// Faults come one after the other: a second one that begins while the first is still being done
// would be put down to the wrong one. So a fault may be late, and a result has both times.

// disturb lets the faults of the pass happen.
func (r *running) disturb(ctx context.Context, ended chan<- entry) {
	for i, f := range r.faults {
		planned := r.began + f.at
		if r.counts() {
			if !r.passed(ctx, f.after) {
				return
			}
			planned = r.b.clock.now()
		} else if !r.b.clock.until(ctx, planned) {
			return
		}
		out := result.Fault{Kind: f.kind, Planned: planned, At: r.b.clock.now()}

		// A fault that could not be done is in the result as one that hit nothing, and says why.
		d, err := r.b.Disturber.Disturb(ctx, f.kind, i)
		if err != nil {
			out.Target = fmt.Sprintf("(failed: %v)", err)
		} else {
			out.Target, out.At = d.Target, r.b.clock.at(d.At)
		}
		if d.Recovery > 0 {
			out.Recovery = new(d.Recovery.Seconds())
		}
		ended <- entry{Fault: &out}
	}
}

// counts reports whether the pass ends with a number of clips, and not at a time. Faults go by the
// same measure: a run that is faster than the one before would else be over before they come.
func (r *running) counts() bool { return !r.open() && r.b.Setup.Count > 0 }

// passed waits until so many clips have ended; false: ctx has, before.
func (r *running) passed(ctx context.Context, n int) bool {
	for r.seen < n {
		select {
		case <-r.one:
			r.seen++
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// Attempts that were lost within blame of a fault are put down to it; early is for clocks that
// disagree.
const (
	blame = 120.0 // seconds
	early = 1.0
)

// What a fault has cost is known when all clips have ended, and is asked for then. The answer is in
// the journal before the report is made, as the cluster may be gone when somebody makes it again.

// settle finds out what each fault has cost, and whether the clips are those of the undisturbed
// run.
func (b *Bench) settle(ctx context.Context, calm, rough []result.Request, first int) error {
	if b.Journal.cost != nil { // of a run that goes on
		b.cost = b.Journal.cost
		return nil
	}

	// Attempts are put down to faults by the clock: the server knows which were lost, and not why.
	faults := slices.Clone(b.Journal.pass(2).faults)
	open := make([]bool, len(faults)) // work that was hit has not gone on
	for _, q := range rough {
		if q.Attempts < 2 || b.Losses == nil {
			continue
		}
		losses, err := b.Losses(ctx, q.ID)
		if err != nil {
			b.note("What clip %d has lost is not known: %v.", q.Index, err)
			continue
		}
		for _, l := range losses {
			i := culprit(faults, l, b.clock.at(l.Time))
			if i < 0 {
				continue
			}
			f := &faults[i]
			if !slices.Contains(f.Hit, q.Index) {
				f.Hit = append(f.Hit, q.Index)
			}
			f.Redone += l.Redone
			again := b.clock.at(l.Recovered)
			if l.Recovered.IsZero() && q.OK() { // it went on, though nobody saw when
				again = q.Done()
			}
			if again == 0 {
				open[i] = true
			} else if took := again - f.At; f.Recovery == nil || took > *f.Recovery {
				f.Recovery = new(max(0, took))
			}
		}
	}

	for i := range faults {
		if open[i] {
			faults[i].Recovery = nil
		}
	}

	b.cost = &result.Faults{Seed: b.Setup.Seed, Events: faults}
	again := twinsOf(calm, rough, first, b.slots)
	if err := b.Journal.add(entry{Again: &again}); err != nil {
		return err
	}
	return b.Journal.add(entry{Cost: b.cost})
}

// A shard that is killed is missed after seconds (lost-after), and another fault may come in
// between. So the place counts as well as the time: an attempt is put down to a fault of a shard
// that it ran on. Coordinators are no part of an attempt; one that ends takes none with it, as a
// rule.

// culprit is the latest fault before an attempt was lost that may have been the reason, or -1: one
// of a shard that it ran on, or else of a coordinator. An attempt that was asked to stop was in the
// way of a drain; one that broke off was not. lost is by the run's clock.
func culprit(faults []result.Fault, l job.Loss, lost float64) int {
	shard, other := -1, -1
	for i, f := range faults {
		switch {
		case f.Target == "" || (f.Kind == FaultDrain) != l.Planned || f.At-early > lost ||
			lost > f.At+blame:
		case f.Kind == FaultLeader:
			other = i
		case strings.Contains(l.Where, f.Target):
			shard = i
		}
	}
	if shard >= 0 {
		return shard
	}
	return other
}

// twinsOf compares the clips of both passes by their hashes.
func twinsOf(calm, rough []result.Request, first int, slots []Slot) result.Fidelity {
	f := result.Fidelity{Reference: "the undisturbed run"}
	twins := map[int]result.Request{}
	for _, q := range calm {
		twins[slots[q.Index].Number] = q
	}

	// A clip that is missing on either side is counted elsewhere, as a failure.
	for _, q := range rough {
		twin := twins[slots[q.Index].Number]
		if q.LatentsSHA256 == "" || twin.LatentsSHA256 == "" {
			continue
		}
		f.Compared++
		if q.LatentsSHA256 == twin.LatentsSHA256 {
			f.Equal++
		}
	}
	return f
}
