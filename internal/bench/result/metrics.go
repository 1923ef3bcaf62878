package result

import (
	"maps"
	"math"
	"slices"
)

// metric is a figure by which two sides are compared. It is computed from how often each block of a
// side was drawn.
type metric struct {
	name, unit string

	// higher says that more of it is better, words what it is called if B has less or more.
	higher     bool
	less, more string

	// gates says that it counts for Options.Gate: it is what a user of the server notices.
	gates bool

	// paired says that runs side by side are compared in it by the ratios of their pairs.
	paired bool

	// needs is how many requests a side has at least.
	needs int

	// prepare returns a function of the counts of the blocks of a side; nil if it has no such figure.
	prepare func(side) func(counts []float64) float64
}

// value reads a time off a request, if it has it. What only some requests tell is compared by these
// requests, on both sides.
type value func(Request) (float64, bool)

// latencyOf is of requests that have a clip, which are all that a side has.
func latencyOf(q Request) (float64, bool) { return q.Latency, true }

// positive makes a value of a field that is 0 where it is not known.
func positive(field func(Request) float64) value {
	return func(q Request) (float64, bool) { return field(q), field(q) > 0 }
}

// metricsOf lists what can be compared of two sides. The first one decides first.
func metricsOf(a, b side, scenario Scenario, rates []Rate) []metric {
	out := []metric{
		{name: "typical latency", prepare: typical, gates: true, paired: true},
		{name: "geometric mean latency", prepare: geometric(latencyOf), gates: true},
		{name: "latency p50", prepare: quantile(0.5), needs: Needed(0.5), gates: true},
		{name: "latency p90", prepare: quantile(0.9), needs: Needed(0.9), gates: true},
		{name: "latency p99", prepare: quantile(0.99), needs: Needed(0.99), gates: true},
		{name: "mean queue wait", prepare: mean(queueOf)},
	}

	has := stagesOf(slices.Concat(a.requests, b.requests))
	for _, stage := range inOrder(has) {
		out = append(out, metric{name: "mean " + stage, prepare: mean(stageOf(stage))})
	}

	// What a user sees of a clip before it is complete.
	out = append(out,
		metric{name: "mean first preview",
			prepare: mean(positive(func(q Request) float64 { return q.FirstPreview }))},
		metric{name: "mean first playable",
			prepare: mean(positive(func(q Request) float64 { return q.FirstPlayable }))})

	// A server may be as fast as before at low rates, and saturate earlier.
	for i, r := range rates {
		if len(rates) > 1 {
			out = append(out, metric{name: "latency at " + plainNumber(r.Offered) + " requests/s",
				prepare: geometric(func(q Request) (float64, bool) { return q.Latency, q.Point == i })})
		}
	}

	for i := range out {
		out[i].unit, out[i].less, out[i].more = "s", "faster", "slower"
	}
	return withRates(out, scenario)
}

// withRates adds what is not a time. Throughput comes first where it is what the scenario measures:
// when all requests are sent at once, a latency is mostly a place in the queue.
func withRates(out []metric, scenario Scenario) []metric {
	clips := metric{name: "clips an hour", unit: "1/h", higher: true, less: "fewer", more: "more",
		prepare: hourly(func(t tally) float64 { return t.clips }), gates: true}
	if scenario.Name == Offline {
		out = slices.Insert(out, 0, clips)
	} else {
		out = append(out, clips)
	}
	if scenario.ObjectiveSeconds > 0 {
		out = append(out, metric{name: "goodput", unit: "1/h", higher: true, less: "less", more: "more",
			prepare: hourly(func(t tally) float64 { return t.met }), gates: true})
	}

	seconds := positive(func(q Request) float64 {
		if v := q.VideoSeconds(); v > 0 {
			return q.DeviceSeconds / v
		}
		return 0
	})
	memory := positive(func(q Request) float64 { return float64(q.PeakMemory) / 1e9 })
	sent := positive(func(q Request) float64 {
		if q.BytesSent == nil || q.Ranks == 0 {
			return 0
		}
		return float64(*q.BytesSent) / float64(q.Ranks) / 1e6
	})
	share := func(q Request) (float64, bool) { v, ok := shareOf(q); return 100 * v, ok }
	return append(out,
		metric{name: "mean communication in steps", unit: "%", less: "less", more: "more",
			prepare: mean(share)},
		metric{name: "mean bytes sent by a rank", unit: "MB", less: "less", more: "more",
			prepare: mean(sent)},
		metric{name: "device-seconds a video second", unit: "", less: "less", more: "more", gates: true,
			prepare: mean(seconds)},
		metric{name: "mean peak memory", unit: "GB", less: "less", more: "more", prepare: mean(memory)})
}

// inOrder lists a clip's stages as it passes them, and then those that only this server has.
func inOrder(has map[string]bool) []string {
	var out []string
	for _, s := range stages {
		if has[s] {
			out = append(out, s)
		}
	}
	for _, s := range slices.Sorted(maps.Keys(has)) {
		if !slices.Contains(stages, s) {
			out = append(out, s)
		}
	}
	return out
}

// sums adds up, for each block, a function of a value, and how many requests have it. With these,
// drawing blocks again costs no more than adding up a few numbers.
func sums(s side, of value, f func(float64) float64) (totals, n []float64, any bool) {
	totals, n = make([]float64, len(s.tallies)), make([]float64, len(s.tallies))
	for i, q := range s.requests {
		if v, ok := of(q); ok {
			totals[s.block[i]] += f(v)
			n[s.block[i]]++
			any = true
		}
	}
	return totals, n, any
}

// dot adds up values of blocks, as often as each was drawn.
func dot(counts, values []float64) float64 {
	var s float64
	for i, c := range counts {
		s += c * values[i]
	}
	return s
}

// mean is the arithmetic mean over requests. It is for times that add up to others, such as stages,
// and for those that may be 0.
func mean(of value) func(side) func([]float64) float64 {
	return func(s side) func([]float64) float64 {
		totals, n, any := sums(s, of, func(v float64) float64 { return v })
		if !any {
			return nil
		}
		return func(counts []float64) float64 { return dot(counts, totals) / dot(counts, n) }
	}
}

// geometric is the geometric mean over requests. The ratio of two is that of a typical pair.
func geometric(of value) func(side) func([]float64) float64 {
	return func(s side) func([]float64) float64 {
		totals, n, any := sums(s, of, math.Log)
		if !any {
			return nil
		}
		return func(counts []float64) float64 { return math.Exp(dot(counts, totals) / dot(counts, n)) }
	}
}

// trimmed is the share of a block's latencies that typical leaves out at each end.
const trimmed = 0.2

// typical is the geometric mean of latencies without the fastest and slowest fifth of each block. A
// request counts as fast or slow against its twins, so that large clips are not left out for being
// large. What happens to few requests is in other metrics; this one is not blurred by it.
func typical(s side) func([]float64) float64 {
	if s.usual == nil {
		return geometric(latencyOf)(s)
	}

	// Within its block, too: a request of a slow hour is not slow for its hour.
	blocks := make([][]float64, len(s.tallies))
	for i, q := range s.requests {
		blocks[s.block[i]] = append(blocks[s.block[i]], math.Log(q.Latency)-s.usual[i])
	}
	totals, n := make([]float64, len(blocks)), make([]float64, len(blocks))
	for i, b := range blocks {
		slices.Sort(b)
		cut := int(trimmed * float64(len(b)))
		n[i] = float64(len(b))
		totals[i] = sum(b[cut:len(b)-cut]) / max(1, float64(len(b)-2*cut)) * n[i]
	}

	// The level comes back at the end, so that the figure is a latency in seconds.
	middle := sum(s.usual) / float64(len(s.usual))
	return func(counts []float64) float64 {
		return math.Exp(middle + dot(counts, totals)/dot(counts, n))
	}
}

// hourly is what was made in an hour, of the blocks' tallies. Blocks that were drawn are taken as
// if they had followed each other.
func hourly(of func(tally) float64) func(side) func([]float64) float64 {
	return func(s side) func([]float64) float64 {
		made, seconds := make([]float64, len(s.tallies)), make([]float64, len(s.tallies))
		for i, t := range s.tallies {
			made[i], seconds[i] = of(t), t.seconds
		}
		return func(counts []float64) float64 {
			return perHour(dot(counts, made), dot(counts, seconds))
		}
	}
}

// quantile is the nearest-rank percentile of latencies, each as often as its block was drawn.
func quantile(p float64) func(side) func([]float64) float64 {
	return func(s side) func([]float64) float64 {
		// Sorted once: drawing blocks again changes how often each latency counts, and not the order.
		order := make([]int, len(s.requests))
		sizes := make([]float64, len(s.tallies))
		for i := range order {
			order[i] = i
			sizes[s.block[i]]++
		}
		slices.SortStableFunc(order, func(i, j int) int {
			return sign(s.requests[i].Latency - s.requests[j].Latency)
		})
		if len(order) == 0 {
			return nil
		}

		return func(counts []float64) float64 {
			left := math.Max(1, math.Ceil(p*dot(counts, sizes)-1e-9))
			for _, i := range order {
				if left -= counts[s.block[i]]; left <= 0 {
					return s.requests[i].Latency
				}
			}
			return 0 // nothing was drawn
		}
	}
}

// sign orders latencies, none of which is NaN.
func sign(v float64) int {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return 0
}
