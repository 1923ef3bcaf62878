package result

import (
	"fmt"
	"math"
)

// failures compares how many requests have no clip, by Fisher's exact test (1934): runs with few
// failures are the rule, and for them nothing else holds. It takes failures as independent of each
// other, which those of one outage are not; so a single outage of many requests counts as many, as
// it should: it was an outage of one side.
func failures(a, b []Result) Metric {
	fa, na := failed(a)
	fb, nb := failed(b)
	m := Metric{Name: "requests without a clip", Unit: "%", Gates: true, Verdict: NoDifference,
		A: 100 * share(fa, na).Value, B: 100 * share(fb, nb).Value, Confidence: 1 - falseAlarms/2}
	if m.A > 0 {
		m.Ratio = m.B / m.A
	}
	if p := fisher(fa, na, fb, nb); p < 1-m.Confidence {
		m.Worse, m.Verdict = m.B > m.A, "fewer"
		if m.Worse {
			m.Verdict = "more"
		}
	}
	return m
}

// failed counts, in all runs of a side.
func failed(runs []Result) (failed, n int) {
	for _, r := range runs {
		for _, q := range inPhase(r.Requests, PhaseMeasure) {
			n++
			if !q.OK() {
				failed++
			}
		}
	}
	return failed, n
}

// A gate that lets a server pass which became fast by making other clips is none.

// wrongClips is the share of the clips that were compared with a reference which are wrong.
func wrongClips(runs []Result) float64 {
	wrong, n := 0, 0
	for _, r := range runs {
		if r.Fidelity != nil {
			wrong, n = wrong+r.Fidelity.Wrong(), n+r.Fidelity.Compared
		}
	}
	return share(wrong, n).Value
}

// fisher is the probability of tables that are at most as likely as this one, if both sides fail
// alike.
func fisher(fa, na, fb, nb int) float64 {
	f, n := fa+fb, na+nb
	likely := func(x int) float64 {
		return math.Exp(choose(na, x) + choose(nb, f-x) - choose(n, f))
	}
	own, p := likely(fa), 0.0
	for x := max(0, f-nb); x <= min(f, na); x++ {
		if l := likely(x); l <= own*(1+1e-9) {
			p += l
		}
	}
	return p
}

// choose is the logarithm of n over k.
// Factorials of a hundred thousand requests have no place in a float64, their logarithms have.
func choose(n, k int) float64 {
	l := func(n int) float64 { v, _ := math.Lgamma(float64(n) + 1); return v }
	return l(n) - l(k) - l(n-k)
}

// notes say what a reader of the figures has to know of how they came about.
func (d design) notes(a, b []Result) []string {
	var out []string
	if d.single && !d.turns {
		out = append(out, "One run a side cannot show how runs differ on these machines: the intervals "+
			"take each to be as far off as its parts are. Several runs of each in turn (A, B, A, B, ...) "+
			"show smaller differences.")
	}

	if d.lost > 0 {
		out = append(out, fmt.Sprintf("%d pairs are left out, as one of their clips failed or is "+
			"missing.", d.lost))
	}

	// Speed is worth nothing if the clips are others.
	if equal, n := d.sameLatents(); n > 0 {
		out = append(out, fmt.Sprintf("The latents are the same bytes in %d of %d pairs.", equal, n))
	}

	for _, side := range []struct {
		name string
		runs []Result
	}{{"A", a}, {"B", b}} {
		for _, r := range side.runs {
			if wrong := r.Fidelity.Differences(); wrong != "" {
				out = append(out, side.name+": "+wrong+". Faster or not, these are no clips to compare.")
			}
			for _, n := range r.Notes {
				out = append(out, side.name+": "+n)
			}
		}
	}
	return out
}

// sameLatents counts the pairs of the first block in which both sides tell their latents' hash. One
// block is enough: the same requests come in every run.
func (d design) sameLatents() (equal, n int) {
	for i := range d.pairs {
		a, b := d.a.requests[i].LatentsSHA256, d.b.requests[i].LatentsSHA256
		if a == "" || b == "" {
			continue
		}
		n++
		if a == b {
			equal++
		}
	}
	return equal, n
}
