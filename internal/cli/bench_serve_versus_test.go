package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target/targettest"
)

// TestBenchServeVersus asks two servers in turn, is interrupted, goes on, and has two results that
// bench compare takes for a pair.
func TestBenchServeVersus(t *testing.T) {
	alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var on []*targettest.Server
	for range 2 {
		on = append(on, targettest.Start(t, targettest.Options{Product: targettest.Dynamo,
			Work: func(n int) time.Duration {
				if n == 5 {
					cancel()
				}
				return time.Millisecond
			},
			Fault: func(n int) targettest.Fault {
				if n == 8 {
					return targettest.Fail
				}
				return targettest.None
			}}))
	}
	args := []string{"bench", "serve", "-o", "x", "--url", on[0].URL, "--versus", on[1].URL,
		"--count", "12", "--warmup", "1"}
	if got := run(ctx, args...); got.code != 130 ||
		strings.Count(got.err, "the same command goes on") != 1 {
		t.Fatalf("%+v", got)
	}
	got := longtake(t, args...)
	if got.code != 0 || !strings.Contains(got.out, "bench compare x/a x/b") {
		t.Fatalf("%+v", got)
	}

	var sides []result.Result
	for _, dir := range []string{"x/a", "x/b"} {
		r := valid(t, dir)
		if r.Pair == nil || len(r.Requests) != 13 || r.Summary.Failed != 1 {
			t.Fatalf("%s: %+v, %d clips, %+v", dir, r.Pair, len(r.Requests), r.Summary)
		}
		sides = append(sides, r)
	}
	for i := range sides[0].Requests {
		if a, b := sides[0].Requests[i], sides[1].Requests[i]; a.Index != b.Index || a.Seed != b.Seed ||
			a.Prompt != b.Prompt {
			t.Errorf("clip %d: %+v, %+v", i, a, b)
		}
	}
	if a, b := sides[0].Pair, sides[1].Pair; a.ID != b.ID || a.Side != "a" || b.Side != "b" {
		t.Errorf("%+v, %+v", sides[0].Pair, sides[1].Pair)
	}
	got = longtake(t, "bench", "compare", "x/a", "x/b", "--gate", "100%")
	if got.code != 0 || !strings.HasPrefix(got.out, "paired: 1") ||
		!strings.Contains(got.out, "pairs are left out") {
		t.Errorf("%+v", got)
	}

	// Neither is another run's to go on with.
	if got = longtake(t, args...); got.code != 2 || !strings.Contains(got.err, "is complete") {
		t.Errorf("%+v", got)
	}
	if got = longtake(t, "bench", "serve", "-o", "x/a", "--url", on[0].URL); got.code != 2 ||
		!strings.Contains(got.err, "is complete") {
		t.Errorf("%+v", got)
	}
}

// TestBenchServeVersusNobody: the server that is there is left alone, and a run that fails on one
// side ends on both.
func TestBenchServeVersusNobody(t *testing.T) {
	alone(t)
	on := targettest.Start(t, targettest.Options{Product: targettest.Dynamo})
	got := longtake(t, "bench", "serve", "-o", "x", "--url", on.URL, "--versus", "http://127.0.0.1:1")
	if got.code != 1 || !strings.Contains(got.err, "--versus: ") ||
		strings.Count(got.err, "\n") != 1 {
		t.Errorf("%+v", got)
	}

	bad := targettest.Start(t, targettest.Options{Product: targettest.Dynamo,
		Fault: func(int) targettest.Fault { return targettest.Fail }})
	got = longtake(t, "bench", "serve", "-o", "y", "--url", on.URL, "--versus", bad.URL, "--json")
	if got.code != 1 || strings.Count(got.err, "the last 10 clips failed") != 1 ||
		!strings.Contains(got.out, `{"a":{`) {
		t.Errorf("%+v", got)
	}
	if r := valid(t, "y/a"); len(r.Requests) == 22 || len(r.Notes) == 0 {
		t.Errorf("%d clips, %v", len(r.Requests), r.Notes)
	}
}

// TestBenchServeResolve ends before --count, says why, and refuses what cannot be resolved.
func TestBenchServeResolve(t *testing.T) {
	alone(t)
	on := targettest.Start(t, targettest.Options{Product: targettest.Dynamo,
		Work: func(int) time.Duration { return time.Millisecond }})
	args := []string{"bench", "serve", "-o", "x", "--url", on.URL, "--versus", on.URL, "--warmup",
		"1", "--fidelity", "0", "--resolve"}
	got := longtake(t, append(args, "100%")...)
	if got.code != 0 || !strings.Contains(got.out, "The run ended after ") ||
		!strings.Contains(got.out, "(--resolve 100%)") {
		t.Errorf("%+v", got)
	}
	a, b := valid(t, "x/a"), valid(t, "x/b")
	n := a.Summary.Requests
	if n != b.Summary.Requests || n < result.ResolveLeast || n >= resolveCount {
		t.Errorf("%d and %d clips", n, b.Summary.Requests)
	}

	for value, want := range map[string]string{"3": `--resolve is "3"; allowed: 2.5% to 100%`,
		"1%": "--resolve is 1%; allowed: 2.5% to 100%", "0%": `--resolve is "0%"; allowed`} {
		got := longtake(t, append(args, value)...)
		if got.code != 2 || !strings.Contains(got.err, want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%s: %+v", value, got)
		}
	}
	got = longtake(t, "bench", "serve", "--resolve", "3%")
	if got.code != 2 || !strings.Contains(got.err, "--resolve goes with --versus") {
		t.Errorf("%+v", got)
	}
}
