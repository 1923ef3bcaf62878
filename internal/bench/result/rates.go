package result

import (
	"cmp"
	"fmt"
)

const (
	// JudgeMin is how many requests it takes to tell whether a rate saturates the server.
	JudgeMin = 20
	// batches is into how many groups of neighbours these are divided.
	batches = 10
	// A latency that rises from batch to batch with at least this Kendall's tau, and in the end is
	// this many times that of the start, is that of a queue that grows.
	trendMin, growthMin = 0.6, 1.5
	// turnedAway is the share of requests without a clip from which on a server does not keep up.
	turnedAway = 0.1
)

// rate sums up a point of a sweep. Its clips an hour are of the time until its last clip was done,
// so they stay behind the offered rate by the latency of that clip, also on an idle server.
func rate(offered float64, requests []Request, objective float64, seed uint64) Rate {
	done := completed(requests)
	l := load(requests, objective, seed)
	r := Rate{Offered: offered, Requests: l.Requests, Completed: l.Completed, Seconds: l.Seconds,
		Latency: l.Latency, Queue: distributionOf(done, seed, queueOf), Goodput: l.Goodput,
		Achieved: perHour(float64(l.Completed), l.Seconds) / 3600}
	r.Verdict, r.Why = Judge(requests)
	return r
}

// Judge says whether the server keeps up with a rate, by all requests of it that count, and what it
// went by. Beyond saturation the queue grows with each arrival, so each clip takes longer than the
// one before, for as long as the load goes on. Clips a second say less: at the end of a run, some
// are always still to come.
func Judge(requests []Request) (verdict, why string) {
	done := completed(requests)
	failed := len(requests) - len(done)
	if len(requests) >= JudgeMin && float64(failed) > turnedAway*float64(len(requests)) {
		return Saturated, fmt.Sprintf("%d of %d requests have no clip", failed, len(requests))
	}
	if len(done) < JudgeMin {
		return Unclear, fmt.Sprintf("%d clips; it takes %d to tell", len(done), JudgeMin)
	}

	// Both are asked for: a trend alone may be of milliseconds, and one slow batch is no trend.
	means := batchMeans(done)
	tau, growth := kendall(means), means[batches-1]/means[0]
	why = fmt.Sprintf("latency of the last tenth is %.2f times that of the first, trend %.2f",
		growth, tau)
	if tau >= trendMin && growth >= growthMin {
		return Saturated, why
	}
	return Keeps, why
}

// batchMeans are the mean latencies of tenths of the requests, in the order of arrivals. A mean of
// neighbours hides what single clips do, and keeps what a queue does.
func batchMeans(done []Request) []float64 {
	means := make([]float64, batches)
	for i := range means {
		batch := done[i*len(done)/batches : (i+1)*len(done)/batches]
		for _, q := range batch {
			means[i] += q.Latency / float64(len(batch))
		}
	}
	return means
}

// kendall is Kendall's rank correlation (tau-a, 1938) of values with their positions: 1 if each is
// larger than all before it, around 0 if there is no trend.
func kendall(values []float64) float64 {
	var s, pairs int
	for j := range values {
		for i := range j {
			s += cmp.Compare(values[j], values[i])
			pairs++
		}
	}
	return float64(s) / float64(pairs)
}

// SaturationPoint returns the highest rate, in requests a second, up to which the server kept up
// with all rates of the sweep, and the lowest that saturated it; 0 where there is none.
func (r Result) SaturationPoint() (kept, saturated float64) {
	for _, p := range r.Rates {
		if p.Verdict == Saturated && (saturated == 0 || p.Offered < saturated) {
			saturated = p.Offered
		}
	}

	// A rate that kept up above one that saturated was luck, or the other was bad luck: which of the
	// two nobody can tell, so the lower one counts.
	for _, p := range r.Rates {
		if p.Verdict == Keeps && (saturated == 0 || p.Offered < saturated) {
			kept = max(kept, p.Offered)
		}
	}
	return kept, saturated
}
