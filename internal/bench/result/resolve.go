package result

import "math"

// A run that goes on until it can show a difference is looked at many times, but only at how wide
// its interval is, and never at where it lies. The width says nothing of whether the servers
// differ, so an interval that is narrow enough is right nearly as often as one of a number of pairs
// that was fixed before, and as often in the limit of narrow ones (Chow and Robbins, "On the
// asymptotic theory of fixed-width sequential confidence intervals for the mean", 1965). Who ends a
// run when it shows a difference is fooled far more often.

// When a run that goes on until it resolves a difference is looked at.
const (
	// ResolveLeast is how many pairs such a run has at least: by fewer, the scatter is known so badly
	// that a run would end where it happens to look small. ResolveEvery is after how many more it is
	// looked at again.
	ResolveLeast, ResolveEvery = 48, 8
	// ResolveMin is the smallest difference that can be asked for: what two starts of one program
	// differ by hides smaller ones in any number of pairs.
	ResolveMin = 0.025
)

// Resolves returns how many pairs the clips of two runs make that took turns, and Metric.Smallest
// of their first metric: the difference, as a share, that these pairs would show in four of five
// tries. It is infinite where there are too few.
func Resolves(a, b []Request) (pairs int, smallest float64) {
	d := paired(Result{Requests: a}, Result{Requests: b})
	m, ok := d.compare(metricsOf(d.a, d.b, Scenario{}, nil)[0], 1-falseAlarms, 0)
	if !ok || m.Smallest == 0 {
		return d.pairs, math.Inf(1)
	}
	return d.pairs, m.Smallest
}
