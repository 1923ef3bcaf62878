package serve

import (
	"cmp"
	"math"
	"time"

	"github.com/longtake/longtake/internal/bench/prompts"
	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

// A plan is made before the first clip is asked for, and never changed by what comes back. So a run
// that is interrupted can be gone on with, two servers are asked for the same clips at the same
// times, and a slow server is not spared.

// Slot is a clip that is to be asked for.
type Slot struct {
	// Index names the clip in the run, Number in its pass: clips of the same number are the same at
	// every rate, and with faults and without.
	Index, Number int
	// At is when an open loop asks for it, from the start of the pass.
	At time.Duration
	// Phase, Round, Point and Prompt are as in result.Request.
	Phase   string
	Round   int
	Point   int
	Prompt  int
	Request target.Request
}

// slots lists the clips of a pass, from an index on. They are a function of the setup, so that a
// run that goes on asks for the same ones.
func (s Setup) slots(p pass, first int) []Slot {
	n, warm := CountMax, s.Warmup // of closed loops that only time ends
	window := time.Duration(0)
	switch {
	case p.single > 0:
		n, warm = p.single, p.single
	case s.Scenario == Mixed: // its warm-up is a pass of its own, and so is that of offline
		n, warm = len(s.Trace), 0
	case s.Scenario.open():
		n = s.Warmup + s.counted(p.rate)
	case s.Scenario == Offline:
		n, warm = s.Count, 0
	case s.Count > 0:
		n = s.Warmup + s.Count
	}

	// The warm-up is of the same rate, right before the clips that count.
	var at []time.Duration
	if p.rate > 0 && p.single == 0 {
		window = time.Duration(float64(n) / p.rate * float64(time.Second))
		at = poisson(stream(s.Seed, streamArrivals, 0), n, window)
	}

	out := make([]Slot, n)
	texts := newPrompter(s.Seed, s.Prompts)
	for i := range out {
		out[i] = Slot{Index: first + i, Number: i, Point: p.point, Phase: p.phase}
		if i < warm {
			out[i].Phase = result.PhaseWarmup
		}
		out[i].Prompt, out[i].Request = s.request(texts, i)
		if at != nil {
			out[i].At = at[i]
		}
		if s.Scenario == Mixed && (p.single == 0 || p.n == warming) {
			s.Trace[i%len(s.Trace)].apply(&out[i])
		}
	}

	s.number(out, warm)
	return out
}

// counted is how many clips arrive at a rate besides the warm-up: what comes first of Count, and
// Duration's worth.
func (s Setup) counted(rate float64) int {
	n := CountMax
	if s.Count > 0 {
		n = s.Count
	}
	if s.Duration > 0 {
		n = min(n, int(math.Round(rate*s.Duration.Seconds())))
	}
	return max(1, n)
}

// Rounds are for comparisons: machines drift, and a pair of blocks that were measured one after the
// other drifts less than two runs an hour apart.

// number gives the clips that count their rounds, as equal as they can be. Of a run that only time
// ends, nobody knows how many clips there will be, so rounds take turns.
func (s Setup) number(slots []Slot, warm int) {
	counted := len(slots) - warm
	for i := range slots {
		if k := i - warm; k >= 0 && (s.Count > 0 || s.Scenario.open()) {
			slots[i].Round = k * s.Rounds / max(1, counted)
		} else if k >= 0 {
			slots[i].Round = k % s.Rounds
		}
	}
}

// What is said closest to a clip wins: the trace's entry, then the prompt's line, then the flags.

// request is what clip i asks for, and the number of its prompt. What a list says of a clip goes
// before what is said for all.
func (s Setup) request(p *prompter, i int) (int, target.Request) {
	r, k := s.Request, p.next(i)
	of := s.Prompts[k]
	r.Prompt, r.Seed = of.Text, seedOf(s.Seed, i)
	if of.Seed != nil {
		r.Seed = *of.Seed
	}
	if of.Width > 0 {
		r.Width, r.Height = of.Width, of.Height
	}
	if of.Priority != nil {
		r.Priority = *of.Priority
	}
	r.Negative, r.Model = cmp.Or(of.Negative, r.Negative), cmp.Or(of.Model, r.Model)
	r.Frames = cmp.Or(of.Frames, r.Frames)
	return k, r
}

// Prompts cost more or less, by their length and by what a server has cached of them, so a sample
// with replacement would make two runs of different seeds differ for no good reason.

// prompter gives out prompts: every one comes once, in a random order, before any comes again, in
// another order.
type prompter struct {
	seed  uint64
	n     int
	lap   int // of order
	order []int
}

func newPrompter(seed uint64, of []prompts.Prompt) *prompter {
	return &prompter{seed: seed, n: len(of), lap: -1}
}

// next returns the number of the prompt of clip i; clips are asked for in order.
func (p *prompter) next(i int) int {
	if lap := i / p.n; lap != p.lap {
		p.lap, p.order = lap, stream(p.seed, streamPrompts, lap).Perm(p.n)
	}
	return p.order[i%p.n]
}
