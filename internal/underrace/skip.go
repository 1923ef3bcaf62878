// Package underrace tells tests whether the race detector is built in. It makes code that computes
// in Go ten times slower and more, and finds nothing in code that one goroutine runs. So a test
// whose goroutines meet nowhere but where those of another test meet, too, runs without it only.
// Only tests import this package.
package underrace

import (
	"flag"
	"strconv"
	"testing"
)

// Skip leaves a test out where the race detector is built in. The text says why no meeting of
// goroutines goes unwatched: what other test has it, or that there is none.
func Skip(t testing.TB, why string) {
	t.Helper()
	if On {
		t.Skip("without the race detector only: " + why)
	}
}

// Some returns all of a test's cases or, where the race detector is built in, the first n of them:
// for cases whose goroutines meet at the same places, with other numbers.
func Some[T any](all []T, n int) []T {
	if On {
		return all[:min(n, len(all))]
	}
	return all
}

// Rounds has rapid.Check try laws so many times in the rest of a test where the race detector is
// built in, unless -rapid.checks asks for a number: goroutines meet in one round as in the next.
func Rounds(t testing.TB, n int) {
	t.Helper()
	checks := flag.Lookup("rapid.checks")
	if old := checks.Value.String(); On && old == checks.DefValue {
		t.Cleanup(func() { _ = checks.Value.Set(old) })
		if testing.Short() {
			n *= 5 // rapid divides by it
		}
		if err := checks.Value.Set(strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
	}
}
